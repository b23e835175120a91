//! The warnings of one session that are still to come.

use super::ring::Delta;
use super::warning_edges;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::wire::frame::Warning;

/// The warnings to come, by the newest state that the plan has seen.
#[derive(Debug, Default)]
pub(super) struct Plan {
    seen: Option<Position>,
    /// Soonest last.
    pending: Vec<Warning>,
    /// No warning up to this instant is sent any more: it was sent, or there was no subscriber.
    /// So each is sent once, though later states name it again.
    sent_until: Option<Timestamp>,
}

impl Plan {
    /// The session has a subscriber from now on.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.sent_until.get_or_insert(now);
    }

    /// The position of the newest state that it follows.
    pub(super) const fn seen(&self) -> Option<Position> {
        self.seen
    }

    /// When the next warning is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.pending.last().map(|warning| warning.at.0)
    }

    /// The state has changed, or is not known now.
    pub(super) fn follow(&mut self, delta: Option<Delta>) {
        let Some(delta) = delta else {
            (self.seen, self.pending) = (None, Vec::new());
            return;
        };
        if let Some(snapshot) = &delta.snapshot {
            self.pending = warning_edges::in_snapshot(snapshot);
        }
        for write in &delta.since {
            write.frames.first().inspect(|frame| warning_edges::apply_partial(frame, &mut self.pending));
        }
        self.seen = Some(delta.position);
        self.pending.retain(|warning| self.sent_until.is_none_or(|until| warning.at.0 > until));
        self.pending.sort_by_key(|warning| std::cmp::Reverse(warning.at.0));
    }

    /// Takes out the warnings due by `now`.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Warning> {
        let mut due = Vec::new();
        while let Some(warning) = self.pending.pop_if(|warning| warning.at.0 <= now) {
            self.sent_until = self.sent_until.max(Some(warning.at.0));
            due.push(warning);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const fn at(version: u64) -> Position {
        Position { epoch: 1, version }
    }

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn state(version: u64, edges: &[i64]) -> Delta {
        let edges: Vec<_> = edges
            .iter()
            .map(|at| format!(r#"{{"at":{at},"type":"warning","participant_id":"a","remaining_ms":10}}"#))
            .collect();
        let snapshot = Some(Bytes::from(format!(r#"{{"edges":[{}]}}"#, edges.join(","))));
        Delta { position: at(version), snapshot, since: Vec::new() }
    }

    fn taken(plan: &mut Plan, now: i64) -> Vec<i64> {
        plan.take(ms(now)).iter().map(|warning| warning.at.0.as_ms()).collect()
    }

    #[test]
    fn a_warning_is_due_once_though_later_states_name_it_again() {
        let mut plan = Plan::default();
        plan.begin(ms(0));
        plan.follow(Some(state(1, &[10, 20, 30])));
        assert_eq!(plan.next(), Some(ms(10)));
        assert_eq!(taken(&mut plan, 20), [10, 20]);
        plan.follow(Some(state(2, &[10, 20, 30])));
        assert_eq!((taken(&mut plan, 29), plan.next()), (vec![], Some(ms(30))));
        plan.follow(Some(state(3, &[])));
        assert_eq!((taken(&mut plan, 99), plan.next()), (vec![], None));
    }

    #[test]
    fn a_warning_from_before_the_first_subscriber_is_not_due() {
        let mut plan = Plan::default();
        plan.begin(ms(15));
        plan.follow(Some(state(1, &[10, 20])));
        assert_eq!(taken(&mut plan, 20), [20]);
    }

    #[test]
    fn an_unknown_state_has_no_warnings() {
        let mut plan = Plan::default();
        plan.begin(ms(0));
        plan.follow(Some(state(1, &[10])));
        plan.follow(None);
        assert_eq!((plan.next(), plan.seen()), (None, None));
    }
}

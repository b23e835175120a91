//! What of one session is still to be warned of.

use super::ring::Delta;
use super::warning_edges;
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::wire::frame::Warning;

/// The warnings to come, by the newest state seen.
#[derive(Debug, Default)]
pub(super) struct Plan {
    seen: Option<Position>,
    /// Soonest last.
    pending: Vec<Warning>,
    /// Up to here all were told, or nobody was here to be told. It is what makes
    /// each be told once, though later states name it again.
    told_until: Option<Timestamp>,
}

impl Plan {
    /// Somebody is here from now on.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.told_until.get_or_insert(now);
    }

    /// The newest state it follows.
    pub(super) const fn seen(&self) -> Option<Position> {
        self.seen
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.pending.last().map(|warning| warning.at.0)
    }

    /// The state has moved on, or is not known now.
    pub(super) fn follow(&mut self, news: Option<Delta>) {
        let Some(news) = news else {
            (self.seen, self.pending) = (None, Vec::new());
            return;
        };
        if let Some(snapshot) = &news.snapshot {
            self.pending = warning_edges::in_snapshot(snapshot);
        }
        for told in &news.since {
            told.frames.first().inspect(|frame| warning_edges::apply_partial(frame, &mut self.pending));
        }
        self.seen = Some(news.position);
        self.pending.retain(|warning| self.told_until.is_none_or(|until| warning.at.0 > until));
        self.pending.sort_by_key(|warning| std::cmp::Reverse(warning.at.0));
    }

    /// Takes out what is due by `now`.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<Warning> {
        let mut due = Vec::new();
        while let Some(warning) = self.pending.pop_if(|warning| warning.at.0 <= now) {
            self.told_until = self.told_until.max(Some(warning.at.0));
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
    fn each_is_due_once_though_later_states_name_it_again() {
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
    fn what_was_over_before_anyone_came_is_not_told() {
        let mut plan = Plan::default();
        plan.begin(ms(15));
        plan.follow(Some(state(1, &[10, 20])));
        assert_eq!(taken(&mut plan, 20), [20]);
    }

    #[test]
    fn an_unknown_state_warns_of_nothing() {
        let mut plan = Plan::default();
        plan.begin(ms(0));
        plan.follow(Some(state(1, &[10])));
        plan.follow(None);
        assert_eq!((plan.next(), plan.seen()), (None, None));
    }
}

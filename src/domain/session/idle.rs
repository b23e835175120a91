//! A session that advances by itself stops once it has no callers and no subscribers.
//!
//! The rules cannot know the subscribers: the caller that settles checks, and hands it in.

use super::control::{Action, SyncMode};
use super::event::{Change, Kind, Outcome};
use super::new::NewSession;
use super::{Session, Status};
use crate::domain::time::Timestamp;

/// The reason of a pause because nobody was there.
pub const IDLE_REASON: &str = "idle";

impl NewSession {
    /// Whether its turns would advance by themselves more often than every `least_ms`.
    pub fn advances_faster_than(&self, least_ms: i64) -> bool {
        self.rules.action() == Action::Advance && self.rules.time_per_cycle_ms.is_some_and(|ms| ms < least_ms)
    }
}

impl Session {
    /// Whether turns advance by themselves without end: each cycle has time of its own.
    pub(super) fn advances(&self) -> bool {
        let is_endless = self.sync_mode == SyncMode::PerCycle && self.rules.action() == Action::Advance;
        is_endless && self.status == Status::Running
    }

    /// When a caller or subscriber was last seen, where it advances by itself without end.
    /// A scheduled start counts as one.
    pub fn attended(&self) -> Option<Timestamp> {
        match self.status {
            Status::Pending => self.starts_at,
            _ => self.advances().then(|| self.attended_at.unwrap_or(self.updated_at)),
        }
    }

    /// Settles what is due by `now`, with a subscriber seen now.
    pub fn settled_attended(&self, now: Timestamp) -> Change {
        let mut change = self.settled(now);
        change.session.attended_at = change.session.attended_at.map(|_| now);
        change
    }

    /// The same for an idle session: the cycle that would begin now waits for a resume.
    pub fn settled_idle(&self, now: Timestamp) -> Change {
        let mut session = self.clone();
        let expired = session.settle(now);
        if !session.advances() {
            return self.settled(now);
        }
        session.stand_still(IDLE_REASON);
        session.into_change(Outcome::of(Kind::Paused), expired, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::command::{Command, Target};
    use crate::domain::session::control::Rules;
    use crate::domain::session::event::Step;
    use crate::domain::session::new::NewParticipant;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn done(session: &Session, command: &Command, ms: i64) -> Session {
        let Step::Done(change) = session.next(command, at(ms)) else { panic!("{command:?} is not done") };
        change.session
    }

    /// Turns of a second, begun at instant 0.
    fn running() -> Session {
        let person = |name: &str| NewParticipant {
            participant_id: name.parse().unwrap(),
            total_time_ms: None,
            group_id: None,
            participant_index: None,
            time_control: None,
            metadata: serde_json::Map::new(),
        };
        let new = NewSession {
            session_id: "s".parse().unwrap(),
            sync_mode: SyncMode::PerCycle,
            participants: vec![person("a"), person("b")],
            groups: Vec::new(),
            rules: Rules { time_per_cycle_ms: Some(1_000), auto_advance: true, ..Rules::default() },
            metadata: serde_json::Map::new(),
        };
        let session = Session::create(new, at(0)).unwrap().session;
        done(&session, &Command::Start { at: None, participant: None }, 0)
    }

    #[test]
    fn the_last_attendance_outlives_turns_and_not_commands() {
        let session = running();
        assert_eq!((session.attended_at, session.attended()), (None, Some(at(0))));
        let session = session.settled(at(5_000)).session;
        assert_eq!(session.attended(), Some(at(0)));
        assert_eq!(session.settled_attended(at(6_000)).session.attended(), Some(at(6_000)));
        let paused =
            done(&session, &Command::Pause { reason: None, target: Target::Session, by_participant: false }, 5_500);
        assert_eq!((paused.attended_at, paused.attended()), (None, None));
    }

    #[test]
    fn a_scheduled_start_counts_as_attendance() {
        let pending = done(&running(), &Command::Reset, 10);
        let scheduled = done(&pending, &Command::Start { at: Some(at(100_000)), participant: None }, 20);
        assert_eq!(scheduled.settled(at(100_000)).session.attended(), Some(at(100_000)));
    }

    #[test]
    fn an_idle_session_rests_with_its_next_cycle_whole() {
        let idle = running().settled_idle(at(3_002));
        assert_eq!((idle.session.status, idle.outcome.kind, idle.expired.len()), (Status::Paused, Kind::Paused, 3));
        assert_eq!((idle.session.clock.left_ms, idle.session.due_at), (Some(1_000), None));
        assert!(idle.session.reasons.iter().eq([IDLE_REASON]));
        let resumed = done(
            &idle.session,
            &Command::Resume { reason: None, target: Target::Session, by_participant: false },
            9_000,
        );
        assert_eq!((resumed.attended(), resumed.deadline()), (Some(at(9_000)), Some(at(10_000))));
    }
}

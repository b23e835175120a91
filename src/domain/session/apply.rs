//! Applies a command at an instant: settle first, then the command.

use super::command::{Command, Refused};
use super::event::{Change, Expired, Kind, Outcome, Step};
use super::{Session, Status};
use crate::domain::time::Timestamp;

impl Session {
    /// The outcome of `command`, arrived at `now`.
    ///
    /// The writer fills in `previous` of the new version: only it knows the digest of the last write.
    pub fn next(&self, command: &Command, now: Timestamp) -> Step {
        let now = now.max(self.updated_at);
        if self.status == Status::Deleted {
            return Step::Refused(Refused::SessionEnded);
        }
        if self.is_due(now) {
            return Step::Due(Box::new(self.settled(now)), None);
        }
        if self.is_in_grace(now)
            && let Some(step) = self.judge_in_grace(command, now)
        {
            return step;
        }
        let mut session = self.clone();
        match session.apply_command(command, now) {
            Err(refused) => Step::Refused(refused),
            Ok(outcome) => {
                let expired = session.settle(now);
                Step::Done(Box::new(session.into_change(outcome, expired, now)))
            }
        }
    }

    /// Settles what is due by `now`.
    pub fn settled(&self, now: Timestamp) -> Change {
        let mut session = self.clone();
        session.attended_at = self.attended();
        let expired = session.settle(now);
        session.into_change(Outcome::of(Kind::Settled), expired, now)
    }

    pub(super) fn into_change(mut self, mut outcome: Outcome, expired: Vec<Expired>, now: Timestamp) -> Change {
        self.attended_at = self.attended_at.filter(|_| outcome.kind == Kind::Settled && self.advances());
        self.position.version += 1;
        self.updated_at = now;
        self.due_at = self.next_due();
        if let Some(last) = expired.last() {
            outcome.tell(last);
        }
        Change { session: self, outcome, expired }
    }

    /// The clock is at zero, but a switch already under way may still count.
    pub(super) fn is_in_grace(&self, now: Timestamp) -> bool {
        self.running().is_some_and(|owner| self.bank(owner).is_out(now, 0))
    }

    /// `None` if the command is applied as usual.
    fn judge_in_grace(&self, command: &Command, now: Timestamp) -> Option<Step> {
        match command {
            Command::Cancel | Command::Complete { .. } | Command::Delete => None,
            Command::Switch(switch) => {
                let Ok(owner) = self.check_switch(switch) else {
                    return Some(Step::Refused(Refused::DeadlinePending));
                };
                let lag = self.judge_lag(owner, switch.acted_at, switch.connection_lag_ms, now);
                self.bank(owner).is_out(now, lag.credited_ms).then(|| self.expired_in_grace(now))
            }
            _ => Some(Step::Refused(Refused::DeadlinePending)),
        }
    }

    /// The switch came too late after all: out, at the deadline.
    fn expired_in_grace(&self, now: Timestamp) -> Step {
        let mut session = self.clone();
        let mut expired = session.expire_running();
        expired.extend(session.settle(now));
        let refused = match session.status {
            Status::Running => Refused::NotActive,
            Status::Paused => Refused::NotRunning,
            _ => Refused::SessionEnded,
        };
        let change = session.into_change(Outcome::of(Kind::Settled), expired, now);
        Step::Due(Box::new(change), Some(refused))
    }

    fn apply_command(&mut self, command: &Command, now: Timestamp) -> Result<Outcome, Refused> {
        if self.status.is_ended() && !matches!(command, Command::Delete) {
            return Err(Refused::SessionEnded);
        }
        match command {
            Command::Start { at, participant } => self.start(*at, participant.as_ref(), now),
            Command::Switch(switch) => self.switch(switch, now),
            Command::Pause { reason, target, by_participant } => {
                self.pause(reason.as_deref(), target, *by_participant, now)
            }
            Command::Resume { reason, target, by_participant } => {
                self.resume(reason.as_deref(), target, *by_participant, now)
            }
            Command::Complete { target } => self.complete(target, now),
            Command::Cancel => Ok(self.cancel(now)),
            Command::Reset => Ok(self.reset()),
            Command::Adjust { target, change } => self.adjust(target, *change, now),
            Command::Extend => self.extend(now),
            Command::Revert { then } => self.revert(then, now),
            Command::AddParticipant(new) => self.add_participant(new, now),
            Command::ChangeParticipant { id, change } => self.change_participant(id, change),
            Command::RemoveParticipant { id } => self.remove_participant(id, now),
            Command::Delete => Ok(self.delete(now)),
            // Nothing was due, or it would have been settled before this.
            Command::Settle => Err(Refused::NotRunning),
        }
    }
}

//! How large a session may become, and which commands are refused past that.

use super::command::{Command, Target};
use super::{Session, Status};

/// Commands make a stored session no larger than this.
pub const MAX_STORED_BYTES: usize = 256 * 1024;

impl Session {
    /// Whether `command` makes the session larger, so that it may be refused as too large.
    ///
    /// All others apply however large a session is: a running clock can always be handed on,
    /// stopped and ended. So the first reason of a pause may exceed the bound too.
    pub fn may_outgrow(&self, command: &Command) -> bool {
        match command {
            Command::AddParticipant(_) | Command::ChangeParticipant { .. } | Command::Revert { .. } => true,
            Command::Pause { target: Target::Session, .. } => self.status == Status::Paused,
            Command::Pause { target, .. } => {
                self.targeted(target).is_ok_and(|owner| !self.bank(owner).reasons.is_empty())
            }
            _ => false,
        }
    }
}

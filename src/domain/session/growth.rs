//! How large a session may become, and which commands are refused past that.

use super::command::{Command, Target};
use super::{Session, Status};

/// A stored session takes no more bytes than this, as far as commands make it grow.
pub const MAX_STORED: usize = 256 * 1024;

impl Session {
    /// Whether `command` adds what stays, so that it may be refused for want of room.
    ///
    /// All others are done however large a session is: a clock that runs can always be
    /// handed on, stopped and ended. So the first reason of a pause needs no room either.
    #[must_use]
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

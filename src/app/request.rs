//! A command with everything that came with it, and its result.

use bytes::Bytes;

use crate::domain::access::Access;
use crate::domain::chain::Digest;
use crate::domain::position::Position;
use crate::domain::session::event::Outcome;
use crate::store::StoredSession;
use crate::wire::command::CommandInput;

/// The version that a caller wants to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// In any epoch.
    Version(u64),
    /// Exactly this.
    Position(Position),
}

impl Precondition {
    /// Whether the session is at that version.
    pub fn is_met_at(self, position: Position) -> bool {
        match self {
            Self::Version(version) => version == position.version,
            Self::Position(expected) => expected == position,
        }
    }
}

/// A command with everything that came with it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// The command.
    pub input: CommandInput,
    /// The command applies only to this version; all must hold.
    pub expected: Vec<Precondition>,
    /// The caller's idempotency key, and the digest of what came with it.
    pub idempotency: Option<(String, Digest)>,
    /// The sending connection's own lag, as measured by the server.
    pub lag_ms: i64,
}

impl CommandRequest {
    /// A command with nothing else.
    pub const fn of(input: CommandInput) -> Self {
        Self { input, expected: Vec::new(), idempotency: None, lag_ms: 0 }
    }

    /// The right it needs.
    pub(super) const fn access(&self) -> Access<'_> {
        match &self.input {
            CommandInput::Command(command) => Access::Command(command),
            CommandInput::Revert { .. } => Access::Revert,
        }
    }
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct CommandResult {
    /// The present version.
    pub stored: StoredSession,
    /// What was done, by this request or by the first with its key.
    pub outcome: Outcome,
    /// The position of the first result, if this was a repeat.
    pub replayed: Option<Position>,
    /// The snapshot that its frame carries, as bytes.
    pub snapshot: Option<Bytes>,
}

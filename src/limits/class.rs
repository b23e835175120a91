//! What is limited: kinds of work that cost about the same.

/// One kind of work. Each has a setting, and a bucket for each caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A read: a snapshot, a poll, the time; on a stream a `PING`, a `SUBSCRIBE` or a `RECONNECT`.
    Read,
    /// A write: a command, a create, a token; each command of a batch by itself.
    Command,
    /// The opening of a stream.
    Connect,
    /// What asks for much at once: a list, a history, a batch.
    Bulk,
    /// A token that was refused, by the address it came from.
    RefusedToken,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [Self::Read, Self::Command, Self::Connect, Self::Bulk, Self::RefusedToken];

    /// Its name in metrics, and in the header `RateLimit`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Command => "command",
            Self::Connect => "connect",
            Self::Bulk => "bulk",
            Self::RefusedToken => "refused_token",
        }
    }
}

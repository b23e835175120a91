//! Why a stream ends: 4000 to 4499 come back, 4500 to 4999 do not.

/// The close codes of every stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Close {
    /// The client said goodbye.
    Normal = 1000,
    /// Bytes that are no WebSocket frame.
    Protocol = 1002,
    /// A text that is not UTF-8.
    NotText = 1007,
    /// A frame over the limit.
    TooBig = 1009,
    /// A restart; come back with jitter.
    GoingAway = 1012,
    /// The reader does not keep up.
    TooSlow = 4001,
    /// No answer to a ping.
    NoPong = 4003,
    /// The state cannot be read now.
    StoreUnavailable = 4004,
    /// Too many streams at once.
    TooManyConnections = 4008,
    /// The token is refused or has expired.
    TokenRefused = 4500,
    /// The token does not allow this.
    NotAllowed = 4501,
    /// There is no such session.
    NoSuchSession = 4502,
    /// The session is gone.
    SessionDeleted = 4503,
    /// Three frames were not understood.
    NotUnderstood = 4504,
}

impl Close {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The words that go with it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "goodbye",
            Self::Protocol => "protocol error",
            Self::NotText => "not UTF-8",
            Self::TooBig => "frame too big",
            Self::GoingAway => "restarting",
            Self::TooSlow => "too slow",
            Self::NoPong => "no answer to a ping",
            Self::StoreUnavailable => "store unavailable",
            Self::TooManyConnections => "too many connections",
            Self::TokenRefused => "token refused or expired",
            Self::NotAllowed => "not allowed",
            Self::NoSuchSession => "no such session",
            Self::SessionDeleted => "session deleted",
            Self::NotUnderstood => "frame not understood",
        }
    }
}

//! Why a token is refused.

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token came with the request.
    #[error("no token was given")]
    Missing,
    /// A token that this service did not sign, or that is not what it expects.
    #[error("the token is not valid")]
    Invalid,
    /// A token whose end has passed.
    #[error("the token has expired")]
    Expired,
    /// A token that begins, or was made, later than now.
    #[error("the token does not count yet")]
    Early,
    /// A token that lives longer than one may.
    #[error("the token lives too long")]
    TooLong,
    /// A token of another issuer, or for another audience.
    #[error("the token is for another service")]
    Elsewhere,
    /// A token that names a key which is not known here, and may be known soon.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// A token that came where this request may not carry one.
    #[error("the token stands where it does not count")]
    Misplaced,
    /// More than one header with a token.
    #[error("several tokens were given")]
    Several,
    /// A token that was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// A ticket that was used, has ended, or was never issued.
    #[error("the ticket is not good")]
    Ticket,
    /// It is not known yet which tokens are revoked.
    #[error("it is not known which tokens are revoked")]
    Unknown,
}

impl Denied {
    /// Whether it counts against the address that it came from. Nothing was tried where no token
    /// came, one that has expired proved its bearer before, and nobody is to blame
    /// for what is not known.
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::Missing | Self::Expired | Self::Unknown)
    }
}

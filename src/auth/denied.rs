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
    /// came, and one that has expired proved its bearer before.
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::Missing | Self::Expired)
    }
}

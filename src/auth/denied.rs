//! Why a caller is not let in.

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token came with the request.
    #[error("no token was given")]
    Missing,
    /// A token that this service did not sign, or that is not what it expects.
    #[error("the token is not valid")]
    Invalid,
    /// A token that was good once.
    #[error("the token has expired")]
    Expired,
    /// A token that came where this request may not carry one.
    #[error("the token stands where it does not count")]
    Misplaced,
    /// More than one header that would prove who calls.
    #[error("several tokens were given")]
    Several,
}

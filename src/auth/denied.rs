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
    /// A client certificate that names several callers, or one that cannot be.
    #[error("the client certificate does not name one caller")]
    AmbiguousCertificate,
    /// A client certificate that names nobody, and no token.
    #[error("the client certificate names no caller")]
    NamelessCertificate,
    /// A client certificate whose end has passed.
    #[error("the client certificate has expired")]
    CertificateExpired,
    /// A client certificate that names another caller than the token.
    #[error("the token and the client certificate name different callers")]
    CertificateDisagrees,
    /// No client certificate, where nothing else proves a caller.
    #[error("no client certificate was shown")]
    CertificateMissing,
    /// More than one header with a token.
    #[error("several tokens were given")]
    Several,
}

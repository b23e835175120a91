//! TLS: the handshake of each connection, by the newest certificate in the files.
//!
//! What comes before the end of a handshake is anybody's, so it has a deadline, and a
//! place among the connections without a token.

mod certificate;
mod error;
mod handshake;
mod load;
mod reload;

pub use self::certificate::{ClientCertificate, Validity};
pub use self::error::{Error, TlsFile};
pub use self::handshake::Tls;
pub(super) use self::handshake::{Accepted, count_late};
pub use self::load::{ClientPolicy, TlsPolicy, check};

//! A Redis that speaks TLS, with a certificate authority of its own.

use std::path::PathBuf;

use super::server::{Keeps, Server};
use crate::certificates::Authority;

/// A server that speaks TLS only, with the authority that signed for it.
pub struct Secret {
    /// The server.
    pub server: Server,
    authority: Authority,
}

impl Secret {
    /// Makes the certificates, and starts the server.
    pub fn start() -> Self {
        let authority = Authority::new();
        let certificate = authority.server();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (signed, key, ca) = (text(certificate.chain), text(certificate.key), text(authority.file()));
        let files = ["--tls-cert-file", &signed, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let options = [&files[..], &["--tls-auth-clients", "no", "--tls-port"]].concat();
        Self { server: Server::with(Keeps::Nothing, &options), authority }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port)
    }

    /// The certificate of the authority that signed for it.
    pub fn trusted(&self) -> PathBuf {
        self.authority.file()
    }
}

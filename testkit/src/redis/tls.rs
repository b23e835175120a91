//! A Redis that speaks TLS, with a certificate authority of its own.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::server::{Keeps, Server};

/// A server that speaks TLS only, with the authority that signed for it.
pub struct Secret {
    /// The server.
    pub server: Server,
    folder: TempDir,
}

impl Secret {
    /// Makes the certificates, and starts the server.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (ca, ca_key, key, asked, signed) = (file("ca"), file("ca-key"), file("key"), file("asked"), file("signed"));
        let extensions = file("extensions");
        std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1").unwrap();
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(&[&["req", "-x509", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca], &curve[..]].concat());
        openssl(&[&["req", "-subj", "/CN=redis", "-keyout", &key, "-out", &asked], &curve[..]].concat());
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", &extensions];
        openssl(&[&["x509", "-req", "-in", &asked, "-out", &signed], &by[..]].concat());
        let files = ["--tls-cert-file", &signed, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let options = [&files[..], &["--tls-auth-clients", "no", "--tls-port"]].concat();
        Self { server: Server::with(Keeps::Nothing, &options), folder }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.server.port)
    }

    /// The certificate of the authority that signed for it.
    pub fn trusted(&self) -> PathBuf {
        self.folder.path().join("ca")
    }
}

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

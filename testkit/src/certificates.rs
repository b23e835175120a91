//! A certificate for 127.0.0.1, and the authority that signed it, made by openssl.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Files in PEM, as long as this lives.
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes an authority, and a certificate for `name` at 127.0.0.1.
    pub fn make(name: &str) -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let file = |name: &str| made.0.path().join(name).to_str().unwrap().to_owned();
        let (ca, ca_key, key, asked, signed) = (file("ca"), file("ca-key"), file("key"), file("asked"), file("signed"));
        let extensions = file("extensions");
        std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1").unwrap();
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(&[&["req", "-x509", "-subj", "/CN=ca", "-keyout", &ca_key, "-out", &ca], &curve[..]].concat());
        let subject = format!("/CN={name}");
        openssl(&[&["req", "-subj", &subject, "-keyout", &key, "-out", &asked], &curve[..]].concat());
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", &extensions];
        openssl(&[&["x509", "-req", "-in", &asked, "-out", &signed], &by[..]].concat());
        made
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.0.path().join("ca")
    }

    /// The certificate of the server.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("signed")
    }

    /// The key of the server.
    pub fn key(&self) -> PathBuf {
        self.0.path().join("key")
    }
}

/// Runs openssl, which must succeed; gives what it prints.
pub fn openssl(arguments: &[&str]) -> Vec<u8> {
    let made = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

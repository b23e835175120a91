//! Certificate authorities of a test's own, made by openssl: they sign for servers and for clients, for as long as the
//! test wants.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

/// Any curve does; this one is quick.
const CURVE: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority, and what it has signed.
pub struct Authority {
    folder: TempDir,
    signed: AtomicUsize,
}

/// A certificate, and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate's file, in PEM.
    pub chain: PathBuf,
    /// The key's file, in PEM.
    pub key: PathBuf,
}

impl Authority {
    /// An authority that nobody knows yet.
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap(), signed: AtomicUsize::new(0) };
        let (certificate, key) = (authority.path("ca"), authority.path("ca-key"));
        openssl(&[&["req", "-x509", "-subj", "/CN=ca", "-keyout", &key, "-out", &certificate], &CURVE[..]].concat());
        let folder = authority.folder.path().display();
        let settings = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/index\nnew_certs_dir = {folder}\nrand_serial = yes\n\
             default_md = sha256\nunique_subject = no\npolicy = any\n[any]\ncommonName = optional\n"
        );
        std::fs::write(authority.path("settings"), settings).unwrap();
        std::fs::write(authority.path("index"), "").unwrap();
        authority
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.path("ca").into()
    }

    /// For a server on 127.0.0.1.
    pub fn server(&self) -> Certificate {
        self.sign(Some("IP:127.0.0.1"), "1 day")
    }

    /// For a client with these URIs, for a day.
    pub fn client(&self, uris: &[&str]) -> Certificate {
        self.client_until(uris, "1 day")
    }

    /// For a client with these URIs, until then, as `date` reads it: `5 seconds`, `-1 hour`.
    pub fn client_until(&self, uris: &[&str], until: &str) -> Certificate {
        let names: Vec<_> = uris.iter().map(|uri| format!("URI:{uri}")).collect();
        self.sign((!names.is_empty()).then(|| names.join(",")).as_deref(), until)
    }

    fn sign(&self, names: Option<&str>, until: &str) -> Certificate {
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.path(&format!("{name}-{number}"));
        let (key, asked, signed, extensions) = (file("key"), file("asked"), file("signed"), file("extensions"));
        openssl(&[&["req", "-subj", "/CN=somebody", "-keyout", &key, "-out", &asked], &CURVE[..]].concat());
        let names = names.map_or_else(String::new, |names| format!("subjectAltName={names}\n"));
        std::fs::write(&extensions, format!("basicConstraints=CA:FALSE\n{names}")).unwrap();
        let (settings, ca, ca_key) = (self.path("settings"), self.path("ca"), self.path("ca-key"));
        let (from, until) = (date("-1 day"), date(until));
        let by = ["ca", "-batch", "-notext", "-config", &settings, "-cert", &ca, "-keyfile", &ca_key];
        let what = ["-in", &asked, "-out", &signed, "-extfile", &extensions, "-startdate", &from, "-enddate", &until];
        openssl(&[&by[..], &what[..]].concat());
        Certificate { chain: signed.into(), key: key.into() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// Puts this certificate and its key in the place of another's, each at once.
    pub fn replace(&self, other: &Self) {
        replace(&self.chain, &other.chain);
        replace(&self.key, &other.key);
    }
}

fn replace(with: &Path, place: &Path) {
    let beside = place.with_extension("new");
    std::fs::copy(with, &beside).unwrap();
    std::fs::rename(beside, place).unwrap();
}

/// An instant, as certificates say it.
fn date(when: &str) -> String {
    let made = Command::new("date").args(["-u", "-d", when, "+%Y%m%d%H%M%SZ"]).output().unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Runs openssl, which must succeed.
pub(crate) fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

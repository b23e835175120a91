//! From the files to what connections are served with.

use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::crypto::{CryptoProvider, ring as by_ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::certificate::Validity;
use super::error::{Error, TlsFile};

/// How HTTP/2 is called in the handshake (RFC 9113, section 3.1).
pub(super) const HTTP2: &[u8] = b"h2";

/// Which files, and who may connect.
#[derive(Debug, Clone)]
pub struct TlsPolicy {
    /// The certificate, with those between it and the authority.
    pub chain: TlsFile,
    /// Its key.
    pub key: TlsFile,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub allows_1_2: bool,
    /// Whether clients show certificates.
    pub clients: ClientPolicy,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientPolicy {
    /// Nobody is asked for one.
    Unasked,
    /// Who shows one must have it from one of these authorities.
    Asked {
        /// The authorities.
        authorities: TlsFile,
        /// Whether nobody gets in without.
        is_required: bool,
    },
}

/// What the files held.
pub(super) struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// What tells one content of the files from another; it holds no key.
pub(super) type ContentDigest = [u8; 32];

impl Contents {
    pub(super) fn digest(&self) -> ContentDigest {
        let parts = [&self.chain, &self.key, &self.authorities];
        let each = parts.map(|part| digest(&SHA256, part));
        let all = each.iter().flat_map(|part| part.as_ref().iter().copied()).collect::<Vec<u8>>();
        let mut out = ContentDigest::default();
        out.copy_from_slice(digest(&SHA256, &all).as_ref());
        out
    }
}

/// Whether the files can be used.
///
/// # Errors
/// They cannot, and why.
pub fn check(policy: &TlsPolicy) -> Result<(), Error> {
    build(policy, &read(policy)?, &(Arc::new(Standstill) as _)).map(|_| ())
}

/// Nothing is judged by time while files are only looked at.
#[derive(Debug)]
struct Standstill;

impl TimeProvider for Standstill {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        None
    }
}

/// Reads the files: they are few and small.
pub(super) fn read(policy: &TlsPolicy) -> Result<Contents, Error> {
    let authorities = match &policy.clients {
        ClientPolicy::Unasked => Vec::new(),
        ClientPolicy::Asked { authorities, .. } => read_file(authorities)?,
    };
    Ok(Contents { chain: read_file(&policy.chain)?, key: read_file(&policy.key)?, authorities })
}

fn read_file(file: &TlsFile) -> Result<Vec<u8>, Error> {
    std::fs::read(Path::new(&file.path)).map_err(|source| Error::Read { file: file.clone(), source })
}

/// What connections are served with, and for how long.
pub(super) fn build(
    policy: &TlsPolicy,
    contents: &Contents,
    time: &Arc<dyn TimeProvider>,
) -> Result<(Arc<ServerConfig>, Validity), Error> {
    let provider = Arc::new(by_ring::default_provider());
    let chain = certificates(&policy.chain, &contents.chain)?;
    let validity = Validity::of(&chain).map_err(|_| Error::NotX509(policy.chain.clone()))?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| Error::NoKey(policy.key.clone()))?;
    let unfit = |source| match source {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::KeyMismatch { key: policy.key.clone(), chain: policy.chain.clone() }
        }
        source => Error::Unfit { file: policy.key.clone(), source },
    };
    let versions = if policy.allows_1_2 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(time));
    let builder = builder.with_protocol_versions(versions).map_err(unfit)?;
    let mut config = match verifier(policy, contents, &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    }
    .with_single_cert(chain, key)
    .map_err(unfit)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), validity))
}

fn certificates(file: &TlsFile, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| Error::NoCertificate(file.clone()))
}

fn verifier(
    policy: &TlsPolicy,
    contents: &Contents,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let ClientPolicy::Asked { authorities, is_required } = &policy.clients else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities, &contents.authorities)? {
        roots.add(authority).map_err(|source| Error::Unfit { file: authorities.clone(), source })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if *is_required { builder } else { builder.allow_unauthenticated() };
    let unfit = |reason| Error::UnfitAuthorities { file: authorities.clone(), reason };
    builder.build().map(Some).map_err(|error| unfit(error.to_string()))
}

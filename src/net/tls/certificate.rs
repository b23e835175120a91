//! What a certificate says, once somebody else has judged it.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// What cannot be read as a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotX509;

/// From when to when a chain of certificates counts, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from_ms: i64,
    /// The instant after the last.
    pub until_ms: i64,
}

/// What the certificate of a client says, whom an authority of ours has signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The URIs among its subject alternative names.
    pub uris: Box<[Box<str>]>,
    /// When it counts, with those that came with it.
    pub validity: Validity,
}

impl ClientCertificate {
    /// Reads the first of `chain`, which is the client's.
    pub(super) fn read(chain: &[CertificateDer<'_>]) -> Result<Self, NotX509> {
        let validity = Validity::of(chain)?;
        let leaf = parse(chain.first().ok_or(NotX509)?)?;
        let names = leaf.tbs_certificate.get::<SubjectAltName>().map_err(|_| NotX509)?;
        let uri = |name: &GeneralName| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(Box::from(uri.as_str())),
            _ => None,
        };
        let uris = names.iter().flat_map(|(_, names)| &names.0).filter_map(uri).collect();
        Ok(Self { uris, validity })
    }
}

impl Validity {
    /// When all of a chain count.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Result<Self, NotX509> {
        let each: Vec<_> =
            chain.iter().map(|der| parse(der).map(|one| one.tbs_certificate.validity)).collect::<Result<_, _>>()?;
        let from_ms = each.iter().map(|one| unix_ms(one.not_before)).max().ok_or(NotX509)?;
        let until_ms = each.iter().map(|one| unix_ms(one.not_after)).min().ok_or(NotX509)?;
        Ok(Self { from_ms, until_ms })
    }
}

fn parse(der: &CertificateDer<'_>) -> Result<Certificate, NotX509> {
    Certificate::from_der(der).map_err(|_| NotX509)
}

fn unix_ms(time: Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX)
}

//! Settings of TLS, and what of them contradicts.

use std::path::PathBuf;

/// The files and rules of TLS; without a certificate there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsSettings {
    /// The certificate that is served, with those between it and the authority.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The authorities of clients' certificates; without, nobody is asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client needs a certificate; `None` is required where there are authorities.
    pub client: Option<ClientCertificates>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    #[default]
    V1_3,
}

/// Whether a client needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It may show one.
    Allowed,
    /// Without one it is not let in.
    Required,
}

/// Settings of TLS that contradict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsContradiction {
    /// A certificate or a key alone.
    #[error("TLS needs both a certificate and its key: set {0} too, or neither")]
    Half(&'static str),
    /// Client certificates in the clear.
    #[error(
        "TLS_CLIENT_CA_FILE is for client certificates, and without TLS there are none: set TLS_CERT_FILE and \
         TLS_KEY_FILE"
    )]
    ClientsInTheClear,
    /// Client certificates of nobody.
    #[error("TLS_CLIENT needs to know who signs client certificates: set TLS_CLIENT_CA_FILE, or leave TLS_CLIENT out")]
    NoAuthority,
}

impl TlsSettings {
    /// Whether connections are encrypted.
    pub const fn is_on(&self) -> bool {
        self.cert_file.is_some()
    }

    /// Whether nobody gets in without a certificate.
    pub fn requires_certificates(&self) -> bool {
        self.client_ca_file.is_some() && self.client != Some(ClientCertificates::Allowed)
    }

    /// Checks that they fit together.
    ///
    /// # Errors
    /// They do not, and why.
    pub fn check(&self) -> Result<(), TlsContradiction> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => return Err(TlsContradiction::Half("TLS_KEY_FILE")),
            (None, Some(_)) => return Err(TlsContradiction::Half("TLS_CERT_FILE")),
            (None, None) if self.client_ca_file.is_some() => return Err(TlsContradiction::ClientsInTheClear),
            _ => {}
        }
        if self.client.is_some() && self.client_ca_file.is_none() {
            return Err(TlsContradiction::NoAuthority);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cert: bool, key: bool, ca: bool, client: Option<ClientCertificates>) -> TlsSettings {
        let file = |is_set: bool| is_set.then(|| PathBuf::from("f"));
        TlsSettings {
            cert_file: file(cert),
            key_file: file(key),
            client_ca_file: file(ca),
            client,
            ..TlsSettings::default()
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        let allowed = Some(ClientCertificates::Allowed);
        for (settings, expected) in [
            (settings(false, false, false, None), Ok(())),
            (settings(true, true, false, None), Ok(())),
            (settings(true, true, true, None), Ok(())),
            (settings(true, true, true, allowed), Ok(())),
            (settings(true, false, false, None), Err(TlsContradiction::Half("TLS_KEY_FILE"))),
            (settings(false, true, false, None), Err(TlsContradiction::Half("TLS_CERT_FILE"))),
            (settings(false, false, true, None), Err(TlsContradiction::ClientsInTheClear)),
            (settings(true, true, false, allowed), Err(TlsContradiction::NoAuthority)),
            (settings(false, false, false, allowed), Err(TlsContradiction::NoAuthority)),
        ] {
            assert_eq!(settings.check(), expected, "{settings:?}");
        }
    }

    #[test]
    fn an_authority_alone_makes_certificates_required() {
        assert!(settings(true, true, true, None).requires_certificates());
        assert!(!settings(true, true, true, Some(ClientCertificates::Allowed)).requires_certificates());
        assert!(!settings(true, true, false, None).requires_certificates());
    }
}

//! Requests that this service sends to others: bounded in time and length, without redirects.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;

type Connector = HttpsConnector<HttpConnector>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The other side was not reached, or broke off; its certificate may be of somebody else.
    #[error("no answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is a redirect, which is not followed.
    #[error("the answer is a redirect ({0}), which is not followed: name the address it leads to")]
    Redirect(StatusCode),
    /// The answer is an error.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The body is too long.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Error {
    /// The error, as the metrics name it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::TooLong(_) => "too_long",
        }
    }
}

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long it may take from the connection to the last byte.
    pub timeout: Duration,
    /// How long the body may be.
    pub bytes: usize,
}

/// Sends requests.
#[derive(Clone)]
pub struct Outgoing(Client<Connector, Empty<Bytes>>);

impl Outgoing {
    /// One that trusts the certificates in `ca`, in PEM; without, those that the host trusts.
    pub fn new(ca: Option<&Path>) -> io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let provider = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new();
        let builder = match ca {
            Some(ca) => builder.with_tls_config(trusting(ca, provider)?),
            None => builder.with_provider_and_native_roots(provider)?,
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(http);
        let mut client = Client::builder(TokioExecutor::new());
        // Requests are minutes apart: no connection is worth keeping.
        client.pool_max_idle_per_host(0).http1_max_buf_size(MAX_HEAD_BYTES);
        Ok(Self(client.build(connector)))
    }

    /// The body at an address.
    pub async fn get(&self, address: &Uri, accept: &'static str, bounds: Bounds) -> Result<Bytes, Error> {
        let body = timeout(bounds.timeout, self.body(address, accept, bounds.bytes)).await;
        body.unwrap_or(Err(Error::Timeout(bounds.timeout)))
    }

    async fn body(&self, address: &Uri, accept: &'static str, max_bytes: usize) -> Result<Bytes, Error> {
        let request = Request::get(address)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, concat!("synckairos/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Error::Unreachable(error.into()))?;
        let answer = self.0.request(request).await.map_err(|error| Error::Unreachable(error.into()))?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(Error::Redirect(status)),
            status => return Err(Error::Status(status)),
        }
        let whole = Limited::new(answer.into_body(), max_bytes).collect().await;
        Ok(whole.map_err(|error| broken(error, max_bytes))?.to_bytes())
    }
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>, max_bytes: usize) -> Error {
    if error.is::<http_body_util::LengthLimitError>() { Error::TooLong(max_bytes) } else { Error::Unreachable(error) }
}

fn trusting(ca: &Path, provider: rustls::crypto::CryptoProvider) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("it holds no certificate in PEM"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

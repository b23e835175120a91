//! Clients behind TLS, with and without certificates of their own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use synckairos::config::{Config, TlsSettings};
use testkit::certificates::{Authority, Certificate};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::cluster::TENANT;
use super::process::Host;
use super::raw::{KeepAliveConnection, RawResponse};
use super::{Cluster, Session, eventually, soon};

pub type SecureConnection = KeepAliveConnection<TlsStream<TcpStream>>;

/// A client of one instance, which trusts one authority.
#[derive(Clone)]
pub struct SecureClient {
    address: SocketAddr,
    authority: std::path::PathBuf,
    shown: Option<Certificate>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    receive_bytes: Option<u32>,
}

/// Settings of an instance that serves `certificate`.
pub fn serving(certificate: &Certificate) -> impl FnOnce(&mut Config) + use<> {
    let tls = TlsSettings {
        cert_file: Some(certificate.chain.clone()),
        key_file: Some(certificate.key.clone()),
        ..TlsSettings::default()
    };
    move |config| config.tls = tls
}

impl SecureClient {
    pub fn of(cluster: &Cluster, authority: &Authority) -> Self {
        Self::at(cluster.instance(0).address, &authority.file())
    }

    pub fn at(address: SocketAddr, authority: &Path) -> Self {
        let versions = vec![&rustls::version::TLS13];
        Self {
            address,
            authority: authority.to_owned(),
            shown: None,
            versions,
            protocols: Vec::new(),
            receive_bytes: None,
        }
    }

    /// With a certificate of its own.
    pub fn showing(&self, certificate: &Certificate) -> Self {
        Self { shown: Some(certificate.clone()), ..self.clone() }
    }

    pub fn speaking(&self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), ..self.clone() }
    }

    /// With these protocols to choose from.
    pub fn offering(&self, protocols: &[&str]) -> Self {
        Self { protocols: protocols.iter().map(|name| name.as_bytes().to_vec()).collect(), ..self.clone() }
    }

    /// With room for little that it has not read.
    pub fn narrow(&self) -> Self {
        Self { receive_bytes: Some(4_096), ..self.clone() }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_protocol_versions(&self.versions).unwrap().with_root_certificates(roots);
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some(Certificate { chain, key }) => {
                let chain = CertificateDer::pem_file_iter(chain).unwrap().collect::<Result<_, _>>().unwrap();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config
    }

    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        soon("a handshake", TlsConnector::from(Arc::new(self.config())).connect(name, stream)).await
    }

    pub async fn kept(&self) -> SecureConnection {
        KeepAliveConnection::over(self.connect().await.unwrap())
    }

    /// It is not let in. In TLS 1.3 a client learns that with the first it reads.
    pub async fn is_refused(&self) -> bool {
        let Ok(mut stream) = self.connect().await else { return true };
        soon("the end of a connection", stream.read(&mut [0])).await.is_err()
    }

    /// Whether it is answered.
    pub async fn is_let_in(&self) -> bool {
        let Ok(stream) = self.connect().await else { return false };
        let mut kept = KeepAliveConnection::over(stream);
        soon("an answer, or none", kept.answer_to("/health")).await.is_some()
    }

    /// A WebSocket as an operator.
    pub async fn websocket(&self, path: &str, token: Option<&str>) -> WebSocketStream<TlsStream<TcpStream>> {
        let mut request = format!("wss://{}{path}", self.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", token.parse().unwrap());
        }
        let stream = self.connect().await.unwrap();
        soon("an upgrade", client_async(request, stream)).await.unwrap().0
    }

    /// A request with these headers, each with its line's end, on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> RawResponse {
        let mut kept = self.kept().await;
        ask(&mut kept, method, path, headers, body).await
    }

    /// As an operator with a token.
    pub async fn post(&self, path: &str, body: &Value) -> RawResponse {
        self.ask("POST", path, &authorization(), &body.to_string()).await
    }

    /// A session that runs.
    pub async fn running(&self, body: &Value) -> Session {
        let created = self.post("/v1/sessions", body).await;
        assert_eq!(created.status, 201, "{created:?}");
        let session = Session { id: created.json()["session_id"].as_str().unwrap().to_owned() };
        self.command(&session, "start").await;
        session
    }

    pub async fn command(&self, session: &Session, command: &str) {
        let done = self.ask("POST", &format!("{}/{command}", session.path()), &authorization(), "").await;
        assert_eq!(done.status, 200, "{done:?}");
    }
}

/// An operator's header line.
pub fn authorization() -> String {
    format!("authorization: {}\r\n", Host::authorization())
}

/// A request on a connection that is open.
pub async fn ask(kept: &mut SecureConnection, method: &str, path: &str, headers: &str, body: &str) -> RawResponse {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let length = body.len();
    kept.say(&format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}{kind}content-length: {length}\r\n\r\n{body}"))
        .await;
    soon(path, kept.answer()).await.unwrap_or_else(|| panic!("{method} {path} is answered"))
}

/// Waits until a scrape has that line.
pub async fn until_scraped(cluster: &Cluster, line: &str) {
    eventually(line, async || {
        let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
        scrape.lines().any(|each| each == line).then_some(())
    })
    .await;
}

/// The tenant's own name for that caller.
pub fn urn(role: &str, subject: &str) -> String {
    format!("urn:synckairos:{TENANT}:{role}:{subject}")
}

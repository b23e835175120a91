//! A server of key sets, over TLS or within this host, that also answers as none should.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use testkit::certificates::Certificates;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What is answered.
#[derive(Debug, Clone)]
pub enum KeyAnswer {
    /// A key set.
    Keys(Value),
    /// A status, and nothing.
    Status(u16),
    /// A redirect to another address.
    Redirect(String),
    /// Anything else.
    Text(String),
    /// So many bytes of JSON that goes on and on.
    Long(usize),
    /// Nothing, while the connection stays.
    Silence,
    /// The end of the connection.
    Close,
}

/// A server of key sets.
pub struct KeyServer {
    address: SocketAddr,
    scheme: &'static str,
    answer: Arc<Mutex<KeyAnswer>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl KeyServer {
    /// Within this host, in the clear.
    pub async fn start(keys: Value) -> Self {
        Self::serving(keys, None).await
    }

    /// Over TLS.
    pub async fn start_tls(keys: Value, certificates: &Certificates) -> Self {
        let chain = CertificateDer::pem_file_iter(certificates.certificate()).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(certificates.key()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::serving(keys, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serving(keys: Value, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(KeyAnswer::Keys(keys))), Arc::new(AtomicUsize::new(0)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let serving = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let ((answer, asked), tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &asked).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answer, &asked).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, scheme, answer, asked, task }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/keys", self.scheme, self.address)
    }

    /// Answers so from now on.
    pub fn answers(&self, answer: KeyAnswer) {
        *self.answer.lock() = answer;
    }

    /// Publishes those keys from now on.
    pub fn publishes(&self, keys: Value) {
        self.answers(KeyAnswer::Keys(keys));
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &Mutex<KeyAnswer>, asked: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().clone();
    let body = |text: &str| {
        let length = text.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}")
    };
    let text = match answer {
        KeyAnswer::Keys(keys) => body(&keys.to_string()),
        KeyAnswer::Text(text) => body(&text),
        KeyAnswer::Long(bytes) => body(&format!("{{\"keys\": [], \"more\": \"{}\"}}", "x".repeat(bytes))),
        KeyAnswer::Status(status) => format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n"),
        KeyAnswer::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
        }
        KeyAnswer::Silence => {
            // Until the other side gives up.
            let _ = stream.read_u8().await;
            return;
        }
        KeyAnswer::Close => return,
    };
    // Who was told too much may have gone.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

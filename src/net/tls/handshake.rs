//! The handshake of a connection, or a clear answer for whoever begins none.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificate::{ClientCertificate, Validity};
use super::error::Error;
use super::load;
use super::load::{ContentDigest, HTTP2, TlsPolicy};
use crate::net::metered::MeteredTcp;
use crate::net::socket::ClientSocket;
use crate::telemetry::metrics as names;

/// What each handshake comes to, as the metrics call it.
const OUTCOMES: [&str; 4] = ["done", "failed", "late", "plain"];

/// What TLS begins with: the type of a record that holds a part of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// As much of a request in the clear is read before the connection is closed.
const MAX_PLAIN_BYTES: usize = 64 * 1024;

/// TLS of one listener.
#[derive(Debug)]
pub struct Tls {
    pub(super) policy: TlsPolicy,
    pub(super) time: Arc<dyn TimeProvider>,
    pub(super) served: Mutex<Served>,
    /// What whoever speaks HTTP in the clear is answered with.
    plain_answer: Bytes,
}

/// What new connections are served with.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub config: Arc<ServerConfig>,
    pub validity: Validity,
    /// Of what was read last, whether it could be used or not.
    pub digest: ContentDigest,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(in crate::net) struct Accepted {
    pub socket: ClientSocket,
    pub is_http2: bool,
    pub client: Option<ClientCertificate>,
}

impl Tls {
    /// TLS by the files of `policy`, which must be usable now. `plain_answer` is a whole
    /// answer of HTTP/1.1, for whoever does not speak TLS.
    ///
    /// # Errors
    /// A file cannot be used, and why.
    pub fn open(policy: TlsPolicy, time: Arc<dyn TimeProvider>, plain_answer: Bytes) -> Result<Arc<Self>, Error> {
        for outcome in OUTCOMES {
            metrics::counter!(names::TLS_HANDSHAKES_TOTAL, "outcome" => outcome).increment(0);
        }
        let read = load::read(&policy)?;
        let (config, validity) = load::build(&policy, &read, &time)?;
        let served = Served { config, validity, digest: read.digest() };
        let tls = Self { policy, time, served: Mutex::new(served), plain_answer };
        tls.report();
        Ok(Arc::new(tls))
    }

    /// The handshake; nothing, if it fails.
    pub(in crate::net) async fn accept(&self, stream: TcpStream) -> Option<Accepted> {
        let accepted = match first_byte(&stream).await? {
            HANDSHAKE => self.shake_hands(stream).await,
            first => {
                count("plain");
                if first.is_ascii_uppercase() {
                    self.answer_plainly(stream).await;
                }
                return None;
            }
        };
        count(if accepted.is_some() { "done" } else { "failed" });
        accepted
    }

    async fn shake_hands(&self, stream: TcpStream) -> Option<Accepted> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.served.lock().config));
        // How it failed is the client's business.
        let stream = acceptor.accept(MeteredTcp::new(stream)).await.ok()?;
        let connection = stream.get_ref().1;
        let is_http2 = connection.alpn_protocol() == Some(HTTP2);
        // One that cannot be read proves nobody, and was meant to.
        let client = connection.peer_certificates().map(ClientCertificate::read).transpose().ok()?;
        Some(Accepted { socket: ClientSocket::secure(stream), is_http2, client })
    }

    /// Tells a client that speaks HTTP in the clear what is spoken here. Whoever closes with
    /// something unread takes the answer back, so some of the request is read.
    async fn answer_plainly(&self, mut stream: TcpStream) {
        if stream.write_all(&self.plain_answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let (mut space, mut read) = ([0; 1_024], 0);
        while read < MAX_PLAIN_BYTES
            && let Ok(length @ 1..) = stream.read(&mut space).await
        {
            read += length;
        }
    }
}

/// Counts a handshake whose deadline has passed.
pub(in crate::net) fn count_late() {
    count("late");
}

fn count(outcome: &'static str) {
    metrics::counter!(names::TLS_HANDSHAKES_TOTAL, "outcome" => outcome).increment(1);
}

/// What the client begins with, which is still there to be read.
async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let length = stream.peek(&mut first).await.ok()?;
    (length == 1).then_some(first[0])
}

//! A connection between two requests: it holds no buffer.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::socket::ClientSocket;

/// How a client begins that speaks HTTP/2 without being asked (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// So much is read at a time.
const READ_BYTES: usize = 4 * 1024;

/// So much is kept of what comes while somebody else has the connection.
const MAX_AHEAD: usize = 16 * 1024;

/// A longer head is not kept: parked polls are many.
const MAX_HEAD: usize = 4 * 1024;

/// A connection between two requests.
#[derive(Debug)]
pub struct Idle {
    /// The socket.
    pub io: ClientSocket,
    /// What the client has sent and nobody has looked at.
    pub read: Bytes,
    /// How long a client that says nothing is waited for.
    pub wait: Duration,
}

impl Idle {
    /// Waits until something was read. `None` once nothing will be: at the connection's
    /// end, after too long a wait, or when a stop begins.
    pub async fn read(mut self, stop: &CancellationToken) -> Option<Self> {
        if !self.read.is_empty() {
            return Some(self);
        }
        let wait = self.wait;
        if let Some(Ok(Ok(()))) = stop.run_until_cancelled(timeout(wait, self.more())).await {
            return Some(self);
        }
        self.io.close();
        None
    }

    async fn more(&mut self) -> io::Result<()> {
        // What may become the preface of HTTP/2 is no request line yet.
        while self.read.len() < PREFACE.len() && PREFACE.starts_with(&self.read) {
            poll_fn(|context| self.poll_take(context)).await?;
        }
        Ok(())
    }

    /// Waits until the client has left; what it says meanwhile is kept, up to a bound.
    pub async fn left(&mut self) {
        loop {
            // Behind TLS there may be something that the host does not know of.
            while self.read.len() < MAX_AHEAD {
                match self.take() {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return,
                }
            }
            if self.read.len() >= MAX_AHEAD {
                // Only the end is waited for: more bytes are no news.
                self.io.leave_unread();
            }
            if self.io.until_readable().await.unwrap_or(true) {
                return;
            }
        }
    }

    /// The head of the request that comes next, if what was read holds all of it and
    /// nothing in it can be read in two ways: each line ends in CR and LF, and no empty
    /// line comes first (RFC 9112, section 2.2, lets parsers be lenient about both).
    pub fn head(&self) -> Option<Bytes> {
        let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = &self.read[..end];
        let is_pair = |pair: &[u8]| (pair[0] == b'\r') == (pair[1] == b'\n');
        let is_plain = !matches!(head[0], b'\r' | b'\n') && head.windows(2).all(is_pair);
        (is_plain && end <= MAX_HEAD).then(|| Bytes::copy_from_slice(head))
    }

    /// Adds what can be read now; `WouldBlock` if nothing can.
    fn take(&mut self) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        self.io.try_read(&mut read)?;
        self.add(read.filled())
    }

    /// Adds what comes next.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut read))?;
        Poll::Ready(self.add(read.filled()))
    }

    fn add(&mut self, read: &[u8]) -> io::Result<()> {
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read = [&self.read[..], read].concat().into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn idle(read: &[u8]) -> (Idle, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let io = listener.accept().await.unwrap().0;
        (Idle { io: io.into(), read: Bytes::copy_from_slice(read), wait: Duration::from_secs(5) }, far)
    }

    #[tokio::test]
    async fn a_head_is_known_only_if_it_can_be_read_in_one_way() {
        let (mut idle, _far) = idle(b"").await;
        for (read, head) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\nrest", Some("GET / HTTP/1.1\r\nhost: x\r\n\r\n")),
            ("GET / HTTP/1.1\nhost: x\n\nGET / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nhost: x\n\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nhost: x\r\r\n\r\n", None),
            ("\r\nGET / HTTP/1.1\r\n\r\n", None),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
            ("\nGET / HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
        ] {
            idle.read = Bytes::from_static(read.as_bytes());
            assert_eq!(idle.head().as_deref(), head.map(str::as_bytes), "{read:?}");
        }
        idle.read = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(MAX_HEAD)).into();
        assert_eq!(idle.head(), None);
    }

    #[tokio::test]
    async fn a_client_that_left_something_behind_has_left() {
        use tokio::io::AsyncWriteExt as _;
        for length in [1, MAX_AHEAD + 10 * READ_BYTES] {
            let (mut idle, mut far) = idle(b"").await;
            far.write_all(&vec![b'x'; length]).await.unwrap();
            assert!(timeout(Duration::from_millis(50), idle.left()).await.is_err(), "{length}");
            assert!((1..MAX_AHEAD + READ_BYTES).contains(&idle.read.len()), "{}", idle.read.len());
            drop(far);
            timeout(Duration::from_secs(5), idle.left()).await.expect("it has left");
        }
    }
}

//! A socket of which something was read already, and which tells whether all that was
//! to be written has gone out.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::socket::ClientSocket;

/// So much is read at once. The library's buffer grows with what comes at once, and does not
/// shrink while somebody sends the rest of a body byte by byte.
const READ_BYTES: usize = 8 * 1024;

/// A socket, and what was read of it ahead.
#[derive(Debug)]
pub(super) struct PrefixedStream {
    io: ClientSocket,
    ahead: Bytes,
    activity: Activity,
}

impl PrefixedStream {
    pub(super) fn new(io: ClientSocket, ahead: Bytes, activity: Activity) -> Self {
        Self { io, ahead, activity }
    }

    /// The socket, and what of that nobody has read.
    pub(super) fn into_parts(self) -> (ClientSocket, Bytes) {
        (self.io, self.ahead)
    }

    /// Notes whether the host still takes what is written; `sent` is what it had taken before.
    fn note(&self, sent: u32, is_pending: bool) {
        let is_stuck = is_pending || self.io.has_unsent();
        if !is_stuck || self.io.sent() != sent {
            self.activity.wrote(false);
        }
        if is_stuck {
            self.activity.wrote(true);
        }
    }
}

impl AsyncRead for PrefixedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return poll_some(Pin::new(&mut self.io), context, into);
        }
        let length = self.ahead.len().min(into.remaining());
        into.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        if self.ahead.is_empty() {
            // It holds the memory of everything read with it.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads [`AT_ONCE`] at most.
fn poll_some(io: Pin<&mut ClientSocket>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    if into.remaining() <= READ_BYTES {
        return io.poll_read(context, into);
    }
    let mut some = ReadBuf::new(into.initialize_unfilled_to(READ_BYTES));
    ready!(io.poll_read(context, &mut some))?;
    let length = some.filled().len();
    into.advance(length);
    Poll::Ready(Ok(()))
}

impl AsyncWrite for PrefixedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.io.sent();
        let outcome = Pin::new(&mut self.io).poll_write(context, from);
        self.note(sent, outcome.is_pending());
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.io.sent();
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, from);
        self.note(sent, outcome.is_pending());
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.io.sent();
        let outcome = Pin::new(&mut self.io).poll_flush(context);
        // In the clear there is never anything to flush.
        if self.io.is_secure() {
            self.note(sent, outcome.is_pending());
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let (near, mut far) = pair().await;
        far.write_all(b" and more").await.unwrap();
        let mut io = PrefixedStream::new(near.into(), Bytes::from_static(b"ahead"), Activity::begin());
        let mut seen = [0; 14];
        io.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"ahead and more");
    }

    #[tokio::test]
    async fn no_more_is_read_at_once_than_a_small_buffer_holds() {
        let (near, mut far) = pair().await;
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(4 * READ_BYTES).collect();
        let (mut io, mut seen) = (PrefixedStream::new(near.into(), Bytes::new(), Activity::begin()), Vec::new());
        far.write_all(&sent).await.unwrap();
        let mut buffer = vec![0; sent.len()];
        while seen.len() < sent.len() {
            let length = io.read(&mut buffer).await.unwrap();
            assert!((1..=READ_BYTES).contains(&length), "{length}");
            seen.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(seen, sent);
    }

    #[tokio::test]
    async fn what_does_not_go_out_is_known() {
        let (near, mut far) = pair().await;
        let activity = Activity::begin();
        let mut io = PrefixedStream::new(near.into(), Bytes::new(), activity.clone());
        let chunk = vec![0; 1 << 20];
        let mut written = 0;
        while let Poll::Ready(length) = futures::poll!(std::pin::pin!(io.write(&chunk))) {
            written += length.unwrap();
            assert!(!activity.is_stalled());
        }
        assert!(activity.is_stalled());
        let mut left = vec![0; written];
        far.read_exact(&mut left).await.unwrap();
        io.write_all(b"x").await.unwrap();
        assert!(!activity.is_stalled());
    }
}

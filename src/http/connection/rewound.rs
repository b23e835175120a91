//! A socket of which something was read already, and which tells whether all that was
//! to be written has gone out.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Whether something could not be written yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Unwritten(Arc<AtomicBool>);

impl Unwritten {
    pub(super) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.0.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }
}

/// A socket, and what was read of it ahead.
#[derive(Debug)]
pub(super) struct Rewound {
    io: TcpStream,
    ahead: Bytes,
    unwritten: Unwritten,
}

impl Rewound {
    pub(super) fn new(io: TcpStream, ahead: Bytes, unwritten: Unwritten) -> Self {
        Self { io, ahead, unwritten }
    }

    /// The socket, and what of that nobody has read.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.io, self.ahead)
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
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

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, from);
        self.unwritten.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, from);
        self.unwritten.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

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
        let mut io = Rewound::new(near, Bytes::from_static(b"ahead"), Unwritten::default());
        let mut seen = [0; 14];
        io.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"ahead and more");
    }

    #[tokio::test]
    async fn what_does_not_go_out_is_known() {
        let (near, mut far) = pair().await;
        let unwritten = Unwritten::default();
        let mut io = Rewound::new(near, Bytes::new(), unwritten.clone());
        let chunk = vec![0; 1 << 20];
        let mut written = 0;
        while let Poll::Ready(length) = futures::poll!(std::pin::pin!(io.write(&chunk))) {
            written += length.unwrap();
            assert!(!unwritten.is_some());
        }
        assert!(unwritten.is_some());
        let mut left = vec![0; written];
        far.read_exact(&mut left).await.unwrap();
        io.write_all(b"x").await.unwrap();
        assert!(!unwritten.is_some());
    }
}

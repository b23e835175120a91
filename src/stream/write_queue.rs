//! What stands in line to be written to one client: pieces that all clients share.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// Beyond this what stands in line must go out before more is added.
const MAX_QUEUED_BYTES: u32 = 16 * 1024;

/// So many pieces are handed to the host at a time.
const MAX_SLICES: usize = 16;

/// A line of pieces; an empty one holds no memory.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// What is being written, then what comes after it; most of the time neither.
    out: Bytes,
    more: VecDeque<Bytes>,
    queued: u32,
    /// Behind TLS the host may not have taken yet what was written.
    is_unflushed: bool,
}

impl WriteQueue {
    /// Puts a piece in line.
    pub fn push(&mut self, piece: Bytes) {
        self.queued = self.queued.saturating_add(length(piece.len()));
        self.is_unflushed = true;
        if self.out.is_empty() {
            self.out = piece;
        } else {
            self.more.push_back(piece);
        }
    }

    /// Whether everything has gone out.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty() && !self.is_unflushed
    }

    /// Whether more may be put in line.
    pub fn has_room(&self) -> bool {
        self.queued < MAX_QUEUED_BYTES
    }

    /// Writes everything that stands in line.
    pub fn poll_flush<S: AsyncWrite + Unpin>(&mut self, io: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.out.is_empty() {
            let written = ready!(self.poll_write(io, context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.more = VecDeque::new();
        ready!(Pin::new(io).poll_flush(context))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite + Unpin>(&self, io: &mut S, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(io);
        if self.more.is_empty() {
            return io.poll_write(context, &self.out);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let pieces = std::iter::once(&self.out).chain(&self.more);
        let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        io.poll_write_vectored(context, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.queued = self.queued.saturating_sub(length(written));
        while written > 0 || self.out.is_empty() {
            let of_this = written.min(self.out.len());
            self.out.advance(of_this);
            written -= of_this;
            if self.out.is_empty() {
                let Some(next) = self.more.pop_front() else {
                    // The piece may be shared: this was the last hold on it here.
                    self.out = Bytes::new();
                    self.queued = 0;
                    return;
                };
                self.out = next;
            }
        }
    }
}

/// A line is far shorter than four gigabytes.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_put_in_line_is_written_in_order_however_narrow_the_way() {
        let (mut near, mut far) = duplex(7);
        let mut outgoing = WriteQueue::default();
        let pieces: Vec<_> = (1..50).map(|n| Bytes::from(format!("{n}").repeat(n % 9 + 1))).collect();
        for piece in &pieces {
            outgoing.push(piece.clone());
        }
        let expected = pieces.concat();
        let mut seen = vec![0; expected.len()];
        let (flushed, read) = tokio::join!(poll_fn(|cx| outgoing.poll_flush(&mut near, cx)), far.read_exact(&mut seen));
        assert!(flushed.is_ok() && read.is_ok() && seen == expected);
        assert_eq!((outgoing.queued, outgoing.more.capacity(), outgoing.out.len()), (0, 0, 0));
    }

    /// Takes everything, and hands it on only once it is allowed to.
    struct Holding(bool);

    impl AsyncWrite for Holding {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(from.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_was_only_taken_has_not_gone_out() {
        let (mut outgoing, mut io) = (WriteQueue::default(), Holding(true));
        let mut context = Context::from_waker(std::task::Waker::noop());
        outgoing.push(Bytes::from_static(b"x"));
        for _ in 0..2 {
            assert!(outgoing.poll_flush(&mut io, &mut context).is_pending());
            assert!(!outgoing.is_empty() && outgoing.has_room());
        }
        io.0 = false;
        assert!(outgoing.poll_flush(&mut io, &mut context).is_ready() && outgoing.is_empty());
    }

    #[test]
    fn a_line_has_an_end() {
        let mut outgoing = WriteQueue::default();
        outgoing.push(Bytes::from(vec![0; MAX_QUEUED_BYTES as usize - 1]));
        assert!(outgoing.has_room());
        outgoing.push(Bytes::from_static(b"x"));
        assert!(!outgoing.has_room());
    }
}

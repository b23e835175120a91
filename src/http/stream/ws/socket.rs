//! A WebSocket's two directions over one byte stream.
//!
//! Reading goes through the stack and writing shares what all are told, so a socket
//! that waits holds no buffer at all.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::codec::{Decoder, Incoming};
use crate::wire::close::Close;

/// So much is read at a time.
const READ_BYTES: usize = 4 * 1024;

/// Beyond this what is to be written must go out before more is added.
const ROOM: usize = 16 * 1024;

/// So many pieces are handed to the host at a time.
const SLICES: usize = 16;

/// Why nothing more can be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// The other side is gone.
    Gone,
    /// It sent what it may not.
    Broken(Close),
}

/// A socket after its handshake.
#[derive(Debug)]
pub struct Socket<S> {
    io: S,
    decoder: Decoder,
    /// What is being written, then what comes after it; most of the time neither.
    out: Bytes,
    more: VecDeque<Bytes>,
    queued: usize,
    is_shut: bool,
    /// The other side has said goodbye, or is gone.
    is_answered: bool,
    is_broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket that begins by answering the handshake with `head`, and of which `read`
    /// was read already.
    pub fn new(io: S, head: Bytes, read: &[u8]) -> Self {
        let (mut decoder, more, queued) = (Decoder::default(), VecDeque::new(), head.len());
        decoder.feed(read);
        Self { io, decoder, out: head, more, queued, is_shut: false, is_answered: false, is_broken: false }
    }

    /// Puts frames in line to be written.
    pub fn send(&mut self, frames: Bytes) {
        self.queued += frames.len();
        if self.out.is_empty() {
            self.out = frames;
        } else {
            self.more.push_back(frames);
        }
    }

    /// Whether more may be put in line.
    pub fn has_room(&self) -> bool {
        self.queued < ROOM
    }

    /// Writes everything that stands in line.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.out.is_empty() {
            let written = ready!(self.poll_write(context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.more = VecDeque::new();
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if self.more.is_empty() {
            return io.poll_write(context, &self.out);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let pieces = std::iter::once(&self.out).chain(&self.more);
        let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        io.poll_write_vectored(context, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while written > 0 || self.out.is_empty() {
            let of_this = written.min(self.out.len());
            self.out.advance(of_this);
            written -= of_this;
            if self.out.is_empty() {
                let Some(next) = self.more.pop_front() else {
                    // The frame may be shared: this was the last hold on it here.
                    self.out = Bytes::new();
                    return;
                };
                self.out = next;
            }
        }
    }

    /// The next message.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, Lost>> {
        loop {
            match self.decoder.next() {
                Ok(Some(incoming)) => {
                    self.is_answered = incoming == Incoming::Close;
                    return Poll::Ready(Ok(incoming));
                }
                Ok(None) => {}
                Err(close) => {
                    self.is_broken = true;
                    return Poll::Ready(Err(Lost::Broken(close)));
                }
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.decoder.feed(read.filled()),
                _ => return Poll::Ready(Err(Lost::Gone)),
            }
        }
    }

    /// Says the last words and waits until they were answered: whoever closes with
    /// something unread takes back what the other side has not read yet.
    pub fn poll_goodbye(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_shut {
            let flushed = ready!(self.poll_flush(context)).is_ok();
            if !flushed || ready!(Pin::new(&mut self.io).poll_shutdown(context)).is_err() {
                return Poll::Ready(());
            }
            self.is_shut = true;
        }
        while !self.is_answered {
            if self.is_broken {
                ready!(self.poll_discard(context));
            } else if let Err(Lost::Gone) = ready!(self.poll_next(context)) {
                self.is_answered = true;
            }
        }
        Poll::Ready(())
    }

    /// What made no sense once is not looked at any more.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        let outcome = ready!(Pin::new(&mut self.io).poll_read(context, &mut read));
        self.is_answered = outcome.is_err() || read.filled().is_empty();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;
    use crate::http::stream::ws::codec;

    #[tokio::test]
    async fn what_is_put_in_line_is_written_in_order_however_narrow_the_way() {
        let (near, mut far) = duplex(7);
        let mut socket = Socket::new(near, Bytes::new(), &[]);
        let frames: Vec<_> = (0..50).map(|n| codec::text(&Bytes::from(format!("{n}").repeat(n % 9)))).collect();
        for frame in &frames {
            socket.send(frame.clone());
        }
        let expected = frames.concat();
        let mut seen = vec![0; expected.len()];
        let (flushed, read) = tokio::join!(poll_fn(|cx| socket.poll_flush(cx)), far.read_exact(&mut seen));
        assert!(flushed.is_ok() && read.is_ok() && seen == expected);
        assert_eq!((socket.queued, socket.more.capacity(), socket.out.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_noticed() {
        let (near, far) = duplex(100);
        let mut socket = Socket::new(near, Bytes::new(), &[]);
        drop(far);
        assert_eq!(poll_fn(|cx| socket.poll_next(cx)).await, Err(Lost::Gone));
        poll_fn(|cx| socket.poll_goodbye(cx)).await;
    }
}

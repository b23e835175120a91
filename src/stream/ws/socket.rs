//! A WebSocket's two directions over one byte stream.
//!
//! Reading goes through the stack and writing shares what all are told, so a socket
//! that waits holds no buffer at all.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::codec::{Decoder, Incoming};
use crate::net::socket::ClientSocket;
use crate::stream::write_queue::WriteQueue;
use crate::wire::close::Close;

/// So much is read at a time.
const READ_BYTES: usize = 4 * 1024;

/// Why nothing more can be read.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketError {
    /// The other side is gone.
    Gone,
    /// It sent what it may not.
    Broken(Close),
}

/// Bytes both ways, over a network that can be measured.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// The round trip without anything the client has a say in; `None` where nobody can tell.
    fn round_trip(&self) -> Option<Duration>;
}

impl Wire for ClientSocket {
    fn round_trip(&self) -> Option<Duration> {
        self.round_trip()
    }
}

/// A socket after its handshake.
#[derive(Debug)]
pub struct Socket<S> {
    io: S,
    decoder: Decoder,
    outgoing: WriteQueue,
    is_shut: bool,
    /// The other side has said goodbye, or is gone.
    is_answered: bool,
    is_broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket that begins by answering the handshake with `head`, and of which `read`
    /// was read already.
    pub fn new(io: S, head: Bytes, read: &[u8]) -> Self {
        let (mut decoder, mut outgoing) = (Decoder::default(), WriteQueue::default());
        decoder.feed(read);
        outgoing.push(head);
        Self { io, decoder, outgoing, is_shut: false, is_answered: false, is_broken: false }
    }

    /// What the network alone takes, there and back.
    pub fn round_trip(&self) -> Option<Duration>
    where
        S: Wire,
    {
        self.io.round_trip()
    }

    /// Puts frames in line to be written.
    pub fn send(&mut self, frames: Bytes) {
        self.outgoing.push(frames);
    }

    /// Whether more may be put in line.
    pub fn has_room(&self) -> bool {
        self.outgoing.has_room()
    }

    /// Writes everything that stands in line.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(&mut self.io, context)
    }

    /// The next message.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, SocketError>> {
        loop {
            match self.decoder.next() {
                Ok(Some(incoming)) => {
                    self.is_answered = incoming == Incoming::Close;
                    return Poll::Ready(Ok(incoming));
                }
                Ok(None) => {}
                Err(close) => {
                    self.is_broken = true;
                    return Poll::Ready(Err(SocketError::Broken(close)));
                }
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => self.decoder.feed(read.filled()),
                _ => return Poll::Ready(Err(SocketError::Gone)),
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
            } else if let Err(SocketError::Gone) = ready!(self.poll_next(context)) {
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

    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_other_side_is_noticed() {
        let (near, far) = duplex(100);
        let mut socket = Socket::new(near, Bytes::new(), &[]);
        drop(far);
        assert_eq!(poll_fn(|cx| socket.poll_next(cx)).await, Err(SocketError::Gone));
        poll_fn(|cx| socket.poll_goodbye(cx)).await;
    }
}

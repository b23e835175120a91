//! The socket of a connection, in the clear or behind TLS.
//!
//! Both are read and written by the same few functions, so that whoever goes on with a
//! connection need not know which it is.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::metered::MeteredTcp;
use super::round_trip::round_trip;

/// So much of what nobody wants to know is read at a time.
const DISCARD_BYTES: usize = 64;

/// Behind TLS this much may be encrypted and not sent yet, before no more is taken.
const MAX_UNSENT_BYTES: usize = 16 * 1024;

/// The socket of a connection.
#[derive(Debug)]
pub enum ClientSocket {
    /// In the clear.
    Plain(TcpStream),
    /// Behind TLS; in a box, because most of the state is TLS's own.
    Secure(Box<TlsStream<MeteredTcp>>),
}

impl ClientSocket {
    /// A socket whose handshake is done.
    pub(super) fn secure(mut stream: TlsStream<MeteredTcp>) -> Self {
        // A reader that takes nothing holds little memory here.
        stream.get_mut().1.set_buffer_limit(Some(MAX_UNSENT_BYTES));
        Self::Secure(Box::new(stream))
    }

    /// Whether it is behind TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// The round trip, as the kernel measures it.
    pub fn round_trip(&self) -> Option<Duration> {
        round_trip(self.tcp())
    }

    /// Reads what is there; `WouldBlock` if nothing is.
    pub fn try_read(&mut self, into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let before = into.filled().len();
        let outcome = match self {
            Self::Plain(io) => match io.try_read_buf(into) {
                Err(error) => Poll::Ready(Err(error)),
                Ok(_) => Poll::Ready(Ok(())),
            },
            // What it waits for then is the connection, which `until_readable` waits for.
            Self::Secure(io) => Pin::new(io).poll_read(&mut Context::from_waker(Waker::noop()), into),
        };
        match outcome {
            Poll::Ready(outcome) => outcome.map(|()| into.filled().len() - before),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits until there may be something to read, once [`Self::try_read`] had nothing.
    /// Whether the other side has closed the connection.
    pub async fn until_readable(&self) -> io::Result<bool> {
        Ok(self.tcp().ready(Interest::READABLE).await?.is_read_closed())
    }

    /// Takes what is there for no news: [`Self::until_readable`] waits for more than that.
    pub fn leave_unread(&self) {
        let _: io::Result<()> = self.tcp().try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }

    /// Ready once the other side has left; whatever else it says is no matter.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut space = [MaybeUninit::uninit(); DISCARD_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            let outcome = ready!(Pin::new(&mut *self).poll_read(context, &mut read));
            if outcome.is_err() || read.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Says that nothing more comes, as far as that can be said at once.
    pub fn close(mut self) {
        if self.is_secure() {
            let _ = Pin::new(&mut self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Whether something was taken that the host has not taken yet.
    pub(super) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Secure(io) => io.get_ref().1.wants_write(),
        }
    }

    /// How often the host has taken something of what was encrypted; 0 in the clear.
    pub(super) fn sent(&self) -> u32 {
        match self {
            Self::Plain(_) => 0,
            Self::Secure(io) => io.get_ref().0.writes(),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(io) => io,
            Self::Secure(io) => io.get_ref().0.tcp(),
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(context, into),
            Self::Secure(io) => Pin::new(io).poll_read(context, into),
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(context, from),
            Self::Secure(io) => Pin::new(io).poll_write(context, from),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(context, from),
            Self::Secure(io) => Pin::new(io).poll_write_vectored(context, from),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Secure(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(context),
            Self::Secure(io) => Pin::new(io).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(context),
            Self::Secure(io) => Pin::new(io).poll_shutdown(context),
        }
    }
}

impl From<TcpStream> for ClientSocket {
    fn from(io: TcpStream) -> Self {
        Self::Plain(io)
    }
}

//! A connection between two requests: it holds no buffer.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A client that takes longer to say what it wants, or to want anything more, is
/// not waited for.
pub const HEADERS_WITHIN: Duration = Duration::from_mins(1);

/// So much is read at a time.
const READ_BYTES: usize = 4 * 1024;

/// A connection between two requests.
#[derive(Debug)]
pub struct Idle {
    /// The socket.
    pub io: TcpStream,
    /// What the client has sent and nobody has looked at.
    pub read: Bytes,
}

impl Idle {
    /// Waits until something was read. `None` once nothing will be: at the connection's
    /// end, after too long a wait, or when a stop begins.
    pub async fn read(self, stop: &CancellationToken) -> Option<Self> {
        if !self.read.is_empty() {
            return Some(self);
        }
        stop.run_until_cancelled(timeout(HEADERS_WITHIN, self.more())).await?.ok()?
    }

    async fn more(mut self) -> Option<Self> {
        while self.read.is_empty() {
            self.io.readable().await.ok()?;
            self.read = taken(&self.io).ok()?;
        }
        Some(self)
    }

    /// Waits until the client has left; what it says meanwhile is kept.
    pub async fn left(&mut self) {
        while self.read.is_empty() {
            match self.io.readable().await.and_then(|()| taken(&self.io)) {
                Ok(read) => self.read = read,
                Err(_) => return,
            }
        }
        // A client that has said more is taken to be there.
        std::future::pending::<()>().await;
    }

    /// The head of a request, if it is there as a whole.
    #[must_use]
    pub fn head(&self) -> Option<Bytes> {
        let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")?;
        Some(self.read.slice(..end + 4))
    }
}

/// What can be read now: nothing, if the host was wrong about that.
fn taken(io: &TcpStream) -> io::Result<Bytes> {
    let mut space = [0; READ_BYTES];
    match io.try_read(&mut space) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(Bytes::copy_from_slice(&space[..length])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}

//! A connection, and when what it brings arrived.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, cmsg_space, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

use crate::clock;

/// More than a frame or a small answer, so that one read mostly takes all there is.
const SCRATCH_BYTES: usize = 64 * 1024;

/// When bytes came in, in nanoseconds of Unix time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// When the kernel had the last of them.
    pub kernel_ns: u64,
    /// When this program read them, after its other work.
    pub read_ns: u64,
}

pub struct Socket(TcpStream);

/// What is read into. One a thread: a connection that waits holds no memory here.
struct Scratch {
    bytes: Vec<u8>,
    control: [u8; cmsg_space::<TimeSpec>()],
}

thread_local! {
    static READ: RefCell<Scratch> =
        RefCell::new(Scratch { bytes: vec![0; SCRATCH_BYTES], control: [0; cmsg_space::<TimeSpec>()] });
}

impl Socket {
    /// Connects, from that address if one is given: an address has only so many ports.
    ///
    /// When it is dropped the connection is cut rather than closed, so that no port waits for stragglers.
    pub async fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            // The port is chosen on connecting, when it need only be free for this destination.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.set_nodelay(true)?;
        socket.set_zero_linger()?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self(socket.connect(to).await?))
    }

    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a few bytes, which always fit unless the other side has stopped reading; then they are dropped.
    pub fn send_small(&self, bytes: &[u8]) {
        let _ = self.0.try_write(bytes);
    }

    /// Passes received bytes on until `take` breaks. The end of the stream is an error.
    pub async fn receive<T>(&self, mut take: impl FnMut(&[u8], Arrival) -> ControlFlow<T>) -> io::Result<T> {
        let fd = self.0.as_raw_fd();
        self.0.async_io(Interest::READABLE, || READ.with_borrow_mut(|scratch| scratch.drain(fd, &mut take))).await
    }

    /// The stream, for callers that read it themselves.
    pub fn into_stream(self) -> TcpStream {
        self.0
    }
}

impl Scratch {
    /// A read that does not fill the room has emptied the socket, so the runtime is told to wait without asking the
    /// kernel once more.
    fn drain<T>(&mut self, fd: RawFd, take: &mut impl FnMut(&[u8], Arrival) -> ControlFlow<T>) -> io::Result<T> {
        loop {
            let (length, arrival) = self.fill(fd)?;
            if length == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended"));
            }
            if let ControlFlow::Break(value) = take(&self.bytes[..length], arrival) {
                return Ok(value);
            }
            if length < self.bytes.len() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    fn fill(&mut self, fd: RawFd) -> io::Result<(usize, Arrival)> {
        let mut room = [IoSliceMut::new(&mut self.bytes)];
        let message = recvmsg::<()>(fd, &mut room, Some(&mut self.control), MsgFlags::MSG_DONTWAIT)?;
        let read_ns = clock::wall_ns();
        let stamps = message.cmsgs().into_iter().flatten();
        let kernel_ns = stamps.filter_map(|message| stamped_ns(&message)).last().unwrap_or(read_ns);
        Ok((message.bytes, Arrival { kernel_ns, read_ns }))
    }
}

fn stamped_ns(message: &ControlMessageOwned) -> Option<u64> {
    match message {
        ControlMessageOwned::ScmTimestampns(at) => {
            let seconds = u64::try_from(at.tv_sec()).ok()?;
            Some(seconds * 1_000_000_000 + u64::try_from(at.tv_nsec()).ok()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn bytes_come_with_the_instant_they_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = Some("127.0.7.9".parse().unwrap());
        let socket = Socket::connect(listener.local_addr().unwrap(), from).await.unwrap();
        let (mut other, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.7.9");

        let before = clock::wall_ns();
        other.write_all(b"hello").await.unwrap();
        let take = |bytes: &[u8], arrival| ControlFlow::Break((bytes.to_vec(), arrival));
        let (bytes, arrival) = socket.receive(take).await.unwrap();
        assert_eq!(bytes, b"hello");
        assert!(before <= arrival.kernel_ns && arrival.kernel_ns <= arrival.read_ns, "{before} {arrival:?}");

        drop(other);
        let ended = socket.receive(|_, _| ControlFlow::<()>::Continue(())).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }
}

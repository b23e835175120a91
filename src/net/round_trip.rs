//! The round trip of a connection, as the kernel measures it.
//!
//! A client answers pings when it likes; its host acknowledges segments by itself. So
//! this bounds what a client can claim of its network, where no proxy stands between.

use std::time::Duration;

use tokio::net::TcpStream;

/// The smallest round trip of the last minutes; `None` where the kernel does not tell.
#[cfg(target_os = "linux")]
pub fn round_trip(io: &TcpStream) -> Option<Duration> {
    linux::round_trip(io).map(|micros| Duration::from_micros(micros.into()))
}

/// The smallest round trip of the last minutes; `None` where the kernel does not tell.
#[cfg(not(target_os = "linux"))]
pub fn round_trip(_: &TcpStream) -> Option<Duration> {
    None
}

/// By `sock_diag` (7), because reading `TCP_INFO` from the socket itself takes `unsafe`.
#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, SocketAddr};

    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
    use tokio::net::TcpStream;

    const BY_FAMILY: u16 = 20;
    const REQUEST: u16 = 1;
    const TCP: u8 = 6;
    /// The attribute that holds a `tcp_info`, and the bit that asks for it.
    const INFO: u16 = 2;
    const WANTS_INFO: u8 = 1 << (INFO - 1);

    /// Lengths: of a netlink header, and of it with what is always told of a socket.
    const HEADER: usize = 16;
    const ATTRIBUTES: usize = HEADER + 72;

    /// Where they stand in a `tcp_info`, in microseconds each; the kernel only ever appends.
    const RTT: usize = 68;
    const MIN_RTT: usize = 148;

    /// The answer is about 400 bytes long.
    const MAX_ANSWER_BYTES: usize = 4096;

    pub(super) fn round_trip(io: &TcpStream) -> Option<u32> {
        let question = question(io.local_addr().ok()?, io.peer_addr().ok()?)?;
        let (kind, flags) = (SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, Some(netlink::SOCK_DIAG)).ok()?;
        send(&socket, &question, SendFlags::empty()).ok()?;
        let mut answer = [0; MAX_ANSWER_BYTES];
        // The kernel has answered by the time it was asked.
        let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty()).ok()?;
        measured(answer.get(..length)?)
    }

    /// Asks for one socket, by its two ends.
    fn question(local: SocketAddr, peer: SocketAddr) -> Option<Vec<u8>> {
        let family = match (local, peer) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => AddressFamily::INET,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => AddressFamily::INET6,
            _ => return None,
        };
        let mut id = Vec::with_capacity(64);
        id.extend_from_slice(&[u8::try_from(family.as_raw()).ok()?, TCP, WANTS_INFO, 0]);
        // In any state.
        id.extend_from_slice(&u32::MAX.to_ne_bytes());
        id.extend_from_slice(&local.port().to_be_bytes());
        id.extend_from_slice(&peer.port().to_be_bytes());
        id.extend_from_slice(&sixteen(local.ip()));
        id.extend_from_slice(&sixteen(peer.ip()));
        // On any interface, whatever its cookie.
        id.extend_from_slice(&0_u32.to_ne_bytes());
        id.extend_from_slice(&[0xff; 8]);
        let length = u32::try_from(HEADER + id.len()).ok()?;
        let mut out = length.to_ne_bytes().to_vec();
        out.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        out.extend_from_slice(&REQUEST.to_ne_bytes());
        // Neither a number nor a sender: there is one question on this socket.
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&id);
        Some(out)
    }

    fn sixteen(address: IpAddr) -> [u8; 16] {
        let mut out = [0; 16];
        match address {
            IpAddr::V4(address) => out[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => out = address.octets(),
        }
        out
    }

    fn measured(answer: &[u8]) -> Option<u32> {
        if u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?) != BY_FAMILY {
            return None;
        }
        let mut rest = answer.get(ATTRIBUTES..)?;
        loop {
            let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
            let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
            let info = rest.get(4..length)?;
            if kind == INFO {
                let number = |at: usize| info.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
                let smallest = number(MIN_RTT).filter(|micros| !matches!(*micros, 0 | u32::MAX));
                return smallest.or_else(|| number(RTT)).filter(|micros| *micros > 0);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_the_round_trip_of_a_connection() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine of tests has IPv6.
            let Ok(listener) = TcpListener::bind(address).await else { continue };
            let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut near = listener.accept().await.unwrap().0;
            for _ in 0..3 {
                near.write_all(b"x").await.unwrap();
                let byte = far.read_u8().await.unwrap();
                far.write_all(&[byte]).await.unwrap();
                near.read_u8().await.unwrap();
            }
            let round_trip = round_trip(&near).expect("the kernel tells");
            assert!(round_trip < Duration::from_millis(100), "{round_trip:?}");
        }
    }
}

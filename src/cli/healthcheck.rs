//! `healthcheck`: asks the instance of these settings whether it is ready, or only alive.
//!
//! Whoever restarts what does not answer, as containers are, asks whether it is alive: an
//! instance that drains or is without Redis is not ready, and no restart helps.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;
use crate::config::Config;

/// An instance that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    path: &'static str,
}

impl Order {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        Self { path: if matches.get_flag("alive") { "/health" } else { "/ready" } }
    }
}

pub(super) fn command() -> Command {
    let alive = Arg::new("alive").long("alive").action(ArgAction::SetTrue);
    Command::new("healthcheck")
        .about("Exits 0 if the instance at LISTEN_ADDR is ready, else 1")
        .arg(alive.help("Ask only whether it is alive (/health), as whoever restarts what hangs does"))
}

pub(super) async fn run(order: Order, config: &Config) -> Result<(), Failure> {
    let (path, address) = (order.path, reachable(config.listen_addr));
    match timeout(PATIENCE, ask(address, path)).await {
        Ok(Ok(Some(200))) => Ok(()),
        Ok(Ok(Some(status))) => Err(Failure::NotReady { path, status }),
        Ok(Ok(None) | Err(_)) | Err(_) => Err(Failure::NoAnswer(address)),
    }
}

/// "Every address of this host" is none to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The status of that path. One line of HTTP is no reason for a client library.
async fn ask(address: SocketAddr, path: &str) -> io::Result<Option<u16>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut head).await?;
    Ok(status(&head))
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head).ok()?;
    line.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(answer: &'static str) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config { listen_addr: listener.local_addr().unwrap(), ..Config::default() };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(run(Order { path: "/ready" }, &config), answering).0
    }

    #[tokio::test]
    async fn only_200_is_ready() {
        assert!(asked("HTTP/1.1 200 OK\r\n\r\n").await.is_ok());
        assert!(matches!(
            asked("HTTP/1.1 503 Service Unavailable\r\n\r\n").await,
            Err(Failure::NotReady { status: 503, .. })
        ));
        assert!(matches!(asked("SSH-2.0-OpenSSH_9.2\r\n").await, Err(Failure::NoAnswer(_))));
        assert!(matches!(asked("").await, Err(Failure::NoAnswer(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_not_ready() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = Config { listen_addr: gone, ..Config::default() };
        assert!(matches!(run(Order { path: "/ready" }, &config).await, Err(Failure::NoAnswer(_))));
    }

    #[test]
    fn every_address_of_the_host_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()), "127.0.0.1:80".parse().unwrap());
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()), "10.0.0.1:80".parse().unwrap());
    }
}

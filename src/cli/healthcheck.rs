//! `healthcheck`: asks the instance of these settings whether it is ready, or only alive.
//!
//! A supervisor that restarts containers asks whether it is alive: an instance that drains
//! or has lost Redis is not ready, and a restart does not help.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Failure, any_certificate};
use crate::config::Config;

/// An instance that takes longer counts as not answering.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// The path to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Args {
    path: &'static str,
}

impl Args {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        Self { path: if matches.get_flag("alive") { "/health" } else { "/ready" } }
    }
}

pub(super) fn command() -> Command {
    let alive = Arg::new("alive").long("alive").action(ArgAction::SetTrue);
    Command::new("healthcheck")
        .about("Exits 0 if the instance at LISTEN_ADDR is ready, else 1")
        .arg(alive.help("Ask only whether it is alive (/health), for supervisors that restart a hanging process"))
}

pub(super) async fn run(args: Args, config: &Config) -> Result<(), Failure> {
    let path = args.path;
    let (address, is_secure) = asked(config);
    match timeout(HEALTHCHECK_TIMEOUT, ask(address, is_secure, path)).await {
        Ok(Ok(Some(200))) => Ok(()),
        Ok(Ok(Some(status))) => Err(Failure::NotReady { path, status }),
        Ok(Ok(None) | Err(_)) | Err(_) => Err(Failure::NoAnswer(address)),
    }
}

/// Where to ask, and whether over TLS. Where nobody gets in without a certificate, of which
/// this has none, the metrics listener answers.
fn asked(config: &Config) -> (SocketAddr, bool) {
    if config.tls.requires_certificates() {
        return (reachable(config.metrics_addr), false);
    }
    (reachable(config.listen_addr), config.tls.is_on())
}

/// The address to connect to: an unspecified one becomes loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The status of that path. One line of HTTP needs no client library.
async fn ask(address: SocketAddr, is_secure: bool, path: &str) -> io::Result<Option<u16>> {
    if is_secure {
        return ask_over(any_certificate::connect(address).await?, address, path).await;
    }
    ask_over(TcpStream::connect(address).await?, address, path).await
}

async fn ask_over<S>(mut stream: S, address: SocketAddr, path: &str) -> io::Result<Option<u16>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
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

    async fn check(answer: &'static str) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config { listen_addr: listener.local_addr().unwrap(), ..Config::default() };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(run(Args { path: "/ready" }, &config), answering).0
    }

    #[tokio::test]
    async fn only_200_is_ready() {
        assert!(check("HTTP/1.1 200 OK\r\n\r\n").await.is_ok());
        assert!(matches!(
            check("HTTP/1.1 503 Service Unavailable\r\n\r\n").await,
            Err(Failure::NotReady { status: 503, .. })
        ));
        assert!(matches!(check("SSH-2.0-OpenSSH_9.2\r\n").await, Err(Failure::NoAnswer(_))));
        assert!(matches!(check("").await, Err(Failure::NoAnswer(_))));
    }

    #[tokio::test]
    async fn a_refused_connection_is_not_ready() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = Config { listen_addr: gone, ..Config::default() };
        assert!(matches!(run(Args { path: "/ready" }, &config).await, Err(Failure::NoAnswer(_))));
    }

    #[test]
    fn who_has_no_certificate_asks_where_none_is_needed() {
        let mut config = Config::default();
        assert_eq!(asked(&config), (config.listen_addr, false));
        config.tls.cert_file = Some("cert".into());
        assert_eq!(asked(&config), (config.listen_addr, true));
        config.tls.client_ca_file = Some("ca".into());
        assert_eq!(asked(&config), (config.metrics_addr, false));
    }

    #[test]
    fn every_address_of_the_host_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()), "127.0.0.1:80".parse().unwrap());
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80".parse().unwrap());
        assert_eq!(reachable("10.0.0.1:80".parse().unwrap()), "10.0.0.1:80".parse().unwrap());
    }
}

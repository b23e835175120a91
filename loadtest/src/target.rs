//! The deployment under load: where its instances are, and how to be let in.

use std::net::{SocketAddr, ToSocketAddrs as _};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::position::Position;

/// How often a subscriber is told that its stream lives: seldom, so that it does not count.
const HEARTBEAT_MS: u32 = 15_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    pub instances: Vec<SocketAddr>,
    pub token: Option<String>,
}

/// What a stream comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A WebSocket.
    Ws,
    /// Server-sent events.
    Sse,
    /// Long-poll.
    Poll,
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }
}

impl Target {
    /// The instance that falls to the `nth` in a row.
    pub fn instance(&self, nth: usize) -> SocketAddr {
        self.instances[nth % self.instances.len()]
    }

    /// A written request; without a body it says so.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let length = body.len();
        self.head(method, path, &format!("{kind}content-length: {length}\r\n\r\n{body}"))
    }

    /// A command for a session.
    pub fn command(&self, session: &str, command: &str) -> Vec<u8> {
        self.request("POST", &format!("/v1/sessions/{session}/{command}"), "")
    }

    /// The request that a subscriber opens its stream with, or asks its next poll with.
    pub fn subscription(&self, session: &str, transport: Transport, last: Option<Position>) -> Vec<u8> {
        let after = |name: &str| last.map_or_else(String::new, |last| format!("&{name}={last}"));
        let path = match transport {
            Transport::Ws => format!("/v1/sessions/{session}/ws?heartbeat_ms={HEARTBEAT_MS}{}", after("last")),
            Transport::Sse => format!("/v1/sessions/{session}/events?heartbeat_ms={HEARTBEAT_MS}{}", after("last")),
            Transport::Poll => format!("/v1/sessions/{session}/poll?timeout_ms=30000{}", after("since")),
        };
        let rest = match transport {
            Transport::Ws => UPGRADE,
            Transport::Sse => "accept: text/event-stream\r\n\r\n",
            Transport::Poll => "\r\n",
        };
        self.head("GET", &path, rest)
    }

    fn head(&self, method: &str, path: &str, rest: &str) -> Vec<u8> {
        let host = self.instances.first().map_or_else(String::new, ToString::to_string);
        let bearer = self.token.as_ref().map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{bearer}{rest}").into_bytes()
    }
}

/// The key need not be secret: it only shows that the other side speaks the protocol, and that is known.
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: bG9hZHRlc3QgbG9hZHRlc3Q=\r\n\r\n";

/// The address that a `--to` names. Load goes to this machine unless it is said otherwise.
pub fn address(url: &str, may_be_remote: bool) -> Result<SocketAddr, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--to {url}: {why}"));
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it must begin with http://"))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('/') {
        return Err(wrong("it must be an address without a path"));
    }
    let mut found = authority.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    let address = found.next().ok_or_else(|| wrong("it has no address"))?;
    if address.ip().is_loopback() || may_be_remote {
        return Ok(address);
    }
    Err(wrong("it is not on this machine; say --allow-remote if its owner agrees"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_put_under_load_by_itself() {
        assert_eq!(address("http://127.0.0.1:8001", false).unwrap().to_string(), "127.0.0.1:8001");
        assert_eq!(address("http://[::1]:8001/", false).unwrap().to_string(), "[::1]:8001");
        let refused = address("http://192.0.2.1:80", false).unwrap_err().to_string();
        assert!(refused.contains("--allow-remote"), "{refused}");
        assert_eq!(address("http://192.0.2.1:80", true).unwrap().to_string(), "192.0.2.1:80");
        for wrong in ["127.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:80/v1"] {
            assert!(address(wrong, true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn requests_are_written_whole() {
        let target = Target { instances: vec!["127.0.0.1:80".parse().unwrap()], token: Some("t".to_owned()) };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(
            text(target.command("s", "switch")),
            "POST /v1/sessions/s/switch HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer t\r\n\
             content-length: 0\r\n\r\n"
        );
        assert!(text(target.request("POST", "/", "{}")).ends_with("content-length: 2\r\n\r\n{}"));
        let last = Some(Position { epoch: 5, version: 7 });
        let poll = text(target.subscription("s", Transport::Poll, last));
        assert!(poll.starts_with("GET /v1/sessions/s/poll?timeout_ms=30000&since=5-7 HTTP/1.1\r\n"), "{poll}");
        let first = text(target.subscription("s", Transport::Ws, None));
        assert!(first.contains("/ws?heartbeat_ms=15000 HTTP/1.1") && first.contains("upgrade: websocket"), "{first}");
    }
}

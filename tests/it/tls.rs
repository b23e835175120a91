//! TLS: what is agreed in the handshake, and the streams behind it.

mod client_certificates;
mod files;
mod streams;

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::{TLS12, TLS13};
use synckairos::config::TlsVersion;
use testkit::certificates::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::process::Host;
use crate::harness::raw::exchange;
use crate::harness::secure::{SecureClient, serving, until_scraped};
use crate::harness::{Cluster, soon};

/// One instance behind TLS, and a client that trusts it.
pub(super) async fn secured() -> (Cluster, SecureClient, Authority) {
    let authority = Authority::new();
    let cluster = Cluster::of(1).with(serving(&authority.server())).start().await;
    let client = SecureClient::of(&cluster, &authority);
    (cluster, client, authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_version_is_spoken_unless_another_is_asked_for() {
    let authority = Authority::new();
    let certificate = authority.server();
    let new = Cluster::of(1).with(serving(&certificate)).start().await;
    let client = SecureClient::of(&new, &authority);
    assert!(client.speaking(&[&TLS12]).is_refused().await);
    assert_eq!(client.speaking(&[&TLS13, &TLS12]).ask("GET", "/health", "", "").await.status, 200);
    until_scraped(&new, "synckairos_tls_handshakes_total{outcome=\"failed\"} 1").await;
    let old = Cluster::of(1).with(serving(&certificate));
    let old = old.with(|config| config.tls.min_version = TlsVersion::V1_2).start().await;
    let client = SecureClient::of(&old, &authority);
    for version in [&TLS12, &TLS13] {
        assert_eq!(client.speaking(&[version]).ask("GET", "/health", "", "").await.status, 200, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_agreed_on_in_the_handshake_or_not_spoken() {
    let (_cluster, client, _authority) = secured().await;
    let stream = client.offering(&["h2", "http/1.1"]).connect().await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://x/v1/time").header("authorization", Host::authorization());
    let answer = sender.send_request(request.body(Full::new(bytes::Bytes::new())).unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    answer.into_body().collect().await.unwrap();
    let old = client.offering(&["http/1.1"]).connect().await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(client.offering(&["smtp"]).is_refused().await);
    // Without the handshake's word the preface opens nothing.
    let mut unasked = client.connect().await.unwrap();
    unasked.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end", unasked.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"", "no frame comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_http_in_the_clear_is_told_what_is_spoken() {
    let (cluster, client, _authority) = secured().await;
    let address = cluster.instance(0).address;
    let long = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 40000\r\n\r\n{}", "x".repeat(40_000));
    for request in ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long] {
        let answer = exchange(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "malformed");
        assert!(problem["detail"].as_str().unwrap().contains("https://"), "{problem}");
        for member in ["type", "title", "status", "request_id"] {
            assert!(!problem[member].is_null(), "{member}");
        }
    }
    for nonsense in [&b""[..], b"\0\0\0", b"ssh-2.0", &[22, 0, 0, 0]] {
        assert!(!exchange(address, nonsense).await.contains("HTTP"), "{nonsense:?}");
    }
    until_scraped(&cluster, "synckairos_tls_handshakes_total{outcome=\"plain\"} 5").await;
    assert_eq!(client.ask("GET", "/health", "", "").await.status, 200, "others are served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_dropped() {
    let authority = Authority::new();
    let short = |config: &mut synckairos::config::Config| config.timers.request_head = Duration::from_secs(1);
    let cluster = Cluster::of(1).with(serving(&authority.server())).with(short).start().await;
    let address = cluster.instance(0).address;
    // Silence, and the beginning of a record.
    for begun in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end of a connection", stream.read_to_end(&mut answer)).await;
    }
    until_scraped(&cluster, "synckairos_connections_dropped_total{listener=\"requests\",reason=\"handshake\"} 2").await;
    // After it the head of the first request has as long.
    let mut silent = SecureClient::of(&cluster, &authority).connect().await.unwrap();
    let read = soon("the end of a connection", silent.read(&mut [0])).await;
    assert_eq!(read.unwrap(), 0, "it is said that nothing more comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_handshake_makes_room_for_others() {
    let authority = Authority::new();
    let few = |config: &mut synckairos::config::Config| config.max_unauthenticated = Some(4);
    let cluster = Cluster::of(1).with(serving(&authority.server())).with(few).start().await;
    let address = cluster.instance(0).address;
    let mut open = Vec::new();
    for _ in 0..12 {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    until_scraped(&cluster, "synckairos_connections_dropped_total{listener=\"requests\",reason=\"limit\"} 8").await;
    let client = SecureClient::of(&cluster, &authority);
    assert_eq!(client.ask("GET", "/health", "", "").await.status, 200);
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_mode_looks_at_the_origin_over_every_version() {
    let authority = Authority::new();
    let cluster = Cluster::of(1).open().with(serving(&authority.server())).start().await;
    let client = SecureClient::of(&cluster, &authority).offering(&["h2"]);
    let address = cluster.instance(0).address;
    let (own, other) = (format!("https://{address}"), "https://evil.example".to_owned());
    for (authority, origin, status) in [
        (address.to_string(), None, 200),
        (address.to_string(), Some(&own), 200),
        (address.to_string(), Some(&other), 403),
        ("rebound.example".to_owned(), None, 403),
    ] {
        let stream = client.connect().await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::get(format!("https://{authority}/v1/sessions"));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Full::new(bytes::Bytes::new())).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{authority} {origin:?}");
    }
}

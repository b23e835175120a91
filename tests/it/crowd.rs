//! Many who watch: everyone gets the final state, whoever does not read harms nobody,
//! and waiting costs little.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::harness::process::{Host, Process};
use crate::harness::{Session, blitz};

/// As many as fit into the files one process may open, with room for the rest.
const MANY: usize = 5_000;

/// Resident memory of the server an idle connection may take.
const IDLE_BYTES: usize = 8 * 1024;

/// Room for a slow machine; a stream of updates takes a second or two.
const LONG: Duration = Duration::from_secs(25);

type Socket = WebSocketStream<TcpStream>;

/// The same few buffers as a careful client, so that the test itself fits.
fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(1_024).write_buffer_size(0).max_write_buffer_size(1024)
}

async fn watch(host: &Host, session: &Session) -> Socket {
    let uri = format!("ws://{}{}/ws?warnings=0", host.address(), session.path());
    let mut request = uri.into_client_request().unwrap();
    request.headers_mut().insert("authorization", Host::authorization().parse().unwrap());
    let stream = TcpStream::connect(host.address()).await.unwrap();
    let (mut socket, _) = client_async_with_config(request, stream, Some(small())).await.unwrap();
    let first = text(&mut socket).await;
    assert!(first.starts_with(r#"{"type":"STATE_SYNC""#), "{first}");
    socket
}

async fn text(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Close(why) => panic!("closed: {why:?}"),
            _ => {}
        }
    }
}

async fn crowd(host: &Host, session: &Session) -> Vec<Socket> {
    stream::iter(0..MANY).map(|_| watch(host, session)).buffer_unordered(100).collect().await
}

/// Reads until that version was told.
async fn until_version(socket: &mut Socket, version: u64) {
    let wanted = format!("-{version}\"");
    while !text(socket).await.split(",\"payload\"").next().unwrap_or_default().contains(&wanted) {}
}

fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A connection that asks for the stream and never reads a byte of it.
async fn deaf(host: &Host, session: &Session) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(host.address()).await.unwrap();
    let request = format!(
        "GET {}/ws HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        session.path(),
        host.address(),
        Host::authorization()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_cost_little() {
    let host = Host::new();
    let process = host.serve().await;
    let session = host.caller().create(blitz()).await;
    drop(watch(&host, &session).await);
    let before = resident(&process);
    let sockets = crowd(&host, &session).await;
    let each = resident(&process).saturating_sub(before) / sockets.len();
    println!("{each} bytes resident each");
    assert!(each < IDLE_BYTES, "{each} bytes resident each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_gets_the_final_state_though_some_never_read() {
    const SWITCHES: u64 = 100;
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    let mut sockets = crowd(&host, &session).await;
    let mut never_reading = Vec::new();
    for _ in 0..10 {
        never_reading.push(deaf(&host, &session).await);
    }
    let before = resident(&process);
    let watching = async {
        let each = sockets.iter_mut().map(|socket| until_version(socket, 2 + SWITCHES));
        futures::future::join_all(each).await;
    };
    let commanding = async {
        for _ in 0..SWITCHES {
            caller.command(&session, "switch").await.expect(200);
        }
    };
    let both = async { tokio::join!(commanding, watching) };
    tokio::time::timeout(LONG, both).await.expect("everyone has the final state");
    let grown = resident(&process).saturating_sub(before);
    println!("{grown} bytes more after {SWITCHES} writes to {MANY}");
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes more");
}

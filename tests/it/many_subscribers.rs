//! Many subscribers: all get the final state, one that does not read harms no other,
//! and waiting costs little.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use testkit::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::follow::{By, Follower, Whose};
use crate::harness::process::Host;
use crate::harness::{Session, blitz, eventually};

/// As many as fit into the files one process may open, with room for the rest.
const SUBSCRIBER_COUNT: usize = 5_000;

/// Resident memory of the server an idle connection may take.
const IDLE_BYTES: usize = 10 * 1024;

/// Room for a slow machine; a stream of updates takes a second or two.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(25);

async fn watch(whose: &Whose, by: By) -> Follower {
    let mut follower = whose.follow(by, None).await;
    let first = follower.next().await.unwrap();
    assert_eq!(first.kind, "STATE_SYNC");
    follower
}

async fn crowd(host: &Host, session: &Session, by: By) -> Vec<Follower> {
    let whose = Whose::new(host.address(), session, Host::authorization());
    stream::iter(0..SUBSCRIBER_COUNT).map(|_| watch(&whose, by)).buffer_unordered(100).collect().await
}

fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A connection that asks for a stream and never reads a byte of it.
async fn deaf(host: &Host, session: &Session, stream: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut connection = socket.connect(host.address()).await.unwrap();
    let request = format!(
        "GET {}/{stream} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        session.path(),
        host.address(),
        Host::authorization()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 9];
    connection.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 ");
    connection
}

/// Waits until the server says that all of them follow.
async fn all_follow(host: &Host) {
    eventually("everyone follows", async || {
        let scrape = host.scrape().await;
        let lines = scrape.lines().filter_map(|line| line.strip_prefix("synckairos_subscribers{")?.split_once("} "));
        let subscribers: usize = lines.map(|(_, count)| count.parse::<usize>().unwrap()).sum();
        (subscribers >= SUBSCRIBER_COUNT).then_some(())
    })
    .await;
}

async fn waiting_costs_little(by: By) {
    let host = Host::new();
    let process = host.serve().await;
    let session = host.caller().create(blitz()).await;
    let whose = Whose::new(host.address(), &session, Host::authorization());
    let mut first = watch(&whose, by).await;
    first.park().await;
    let before = resident(&process);
    let mut followers = crowd(&host, &session, by).await;
    for follower in &mut followers {
        follower.park().await;
    }
    all_follow(&host).await;
    let each = resident(&process).saturating_sub(before) / followers.len();
    println!("{by:?}: {each} bytes resident each");
    assert!(each < IDLE_BYTES, "{each} bytes resident each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_websocket_costs_little() {
    waiting_costs_little(By::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_event_stream_costs_little() {
    waiting_costs_little(By::EventStream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_poll_costs_little() {
    waiting_costs_little(By::Poll).await;
}

async fn everyone_gets_the_final_state(by: By) {
    const SWITCHES: u64 = 100;
    let host = Host::new();
    let process = host.serve().await;
    let caller = host.caller();
    let session = caller.running(blitz()).await;
    let mut followers = crowd(&host, &session, by).await;
    let mut never_reading = Vec::new();
    for stream in ["ws", "events"].repeat(5) {
        never_reading.push(deaf(&host, &session, stream).await);
    }
    let before = resident(&process);
    let watching = async {
        let each = followers.iter_mut().map(|follower| follower.until_version(2 + SWITCHES));
        futures::future::join_all(each).await;
    };
    let commanding = async {
        for _ in 0..SWITCHES {
            caller.command(&session, "switch").await.expect(200);
        }
    };
    let both = async { tokio::join!(commanding, watching) };
    tokio::time::timeout(DELIVERY_TIMEOUT, both).await.expect("everyone has the final state");
    let grown = resident(&process).saturating_sub(before);
    println!("{by:?}: {grown} bytes more after {SWITCHES} writes to {SUBSCRIBER_COUNT}");
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_websocket_readers_delay_no_final_state() {
    everyone_gets_the_final_state(By::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_event_stream_readers_delay_no_final_state() {
    everyone_gets_the_final_state(By::EventStream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_poll_readers_delay_no_final_state() {
    everyone_gets_the_final_state(By::Poll).await;
}

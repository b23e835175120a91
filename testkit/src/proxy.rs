//! A TCP proxy in front of a server: open, cut, slow, or silent in one direction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with connections and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Open,
    /// Connections end, and new ones are closed at once.
    Cut,
    /// Each piece is delayed by so much.
    Slow(Duration),
    /// Bytes to the server are dropped.
    DropRequests,
    /// Bytes from the server are dropped. A connection that lost bytes, in either direction, loses all
    /// that follow: it is dead, and neither end is told.
    DropReplies,
}

/// The mode, and how often all connections were ended.
type State = (Mode, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    There,
    Back,
}

/// The proxy; it closes when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to that port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, receiver) = watch::channel((Mode::Open, 0));
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(take(listener, port, receiver, Arc::clone(&accepted)));
        Self { address, state, accepted, task }
    }

    /// Changes the mode, also for connections that are open.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.0 = mode);
    }

    /// Ends every connection; new ones are accepted.
    pub fn disconnect_all(&self) {
        self.state.send_modify(|state| state.1 += 1);
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Mode::Cut);
    }
}

async fn take(listener: TcpListener, port: u16, state: watch::Receiver<State>, accepted: Arc<AtomicU64>) {
    while let Ok((here, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        if state.borrow().0 != Mode::Cut {
            tokio::spawn(join(here, port, state.clone()));
        }
    }
}

/// Copies both directions, until one ends or the connection is cut.
async fn join(here: TcpStream, port: u16, mut state: watch::Receiver<State>) {
    let Ok(there) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (here.set_nodelay(true), there.set_nodelay(true));
    let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
    let cuts = state.borrow().1;
    tokio::select! {
        () = pass(from_here, to_there, Towards::There, state.clone()) => {}
        () = pass(from_there, to_here, Towards::Back, state.clone()) => {}
        _ = state.wait_for(|(mode, now)| *mode == Mode::Cut || *now != cuts) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, towards: Towards, state: watch::Receiver<State>) {
    let (mut piece, mut is_dead) = (vec![0; 64 * 1024], false);
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let mode = state.borrow().0;
        is_dead |= matches!((mode, towards), (Mode::DropRequests, Towards::There) | (Mode::DropReplies, Towards::Back));
        if is_dead {
            continue;
        }
        if let Mode::Slow(delay) = mode {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

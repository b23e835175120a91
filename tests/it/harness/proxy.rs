//! A door between a service and what it stands on: cut, slow, or open on one side only.
//!
//! What is behind it may change its address; who stands before it does not notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of what comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Connections end, and none comes about.
    Cut,
    /// Each piece comes so much later.
    Slow(Duration),
    /// What is said to the other side is swallowed.
    Deaf,
    /// What the other side says is swallowed. A connection of which something was
    /// swallowed, this way or that, stays so: nobody says that it is dead.
    Mute,
}

/// The way, and how often all were sent away.
type State = (Way, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    There,
    Back,
}

/// The door, closed for good when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    taken: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A door to that port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, at_door) = watch::channel((Way::Open, 0));
        let taken = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(take(listener, port, at_door, Arc::clone(&taken)));
        Self { address, state, taken, task }
    }

    pub fn set(&self, way: Way) {
        self.state.send_modify(|state| state.0 = way);
    }

    /// Every connection ends; new ones come about.
    pub fn cut_once(&self) {
        self.state.send_modify(|state| state.1 += 1);
    }

    /// How many connections came so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Way::Cut);
    }
}

async fn take(listener: TcpListener, port: u16, state: watch::Receiver<State>, taken: Arc<AtomicU64>) {
    while let Ok((here, _)) = listener.accept().await {
        taken.fetch_add(1, Ordering::Relaxed);
        if state.borrow().0 != Way::Cut {
            tokio::spawn(join(here, port, state.clone()));
        }
    }
}

/// Both directions, until one ends or the door is cut.
async fn join(here: TcpStream, port: u16, mut state: watch::Receiver<State>) {
    let Ok(there) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (here.set_nodelay(true), there.set_nodelay(true));
    let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
    let cuts = state.borrow().1;
    tokio::select! {
        () = pass(from_here, to_there, Towards::There, state.clone()) => {}
        () = pass(from_there, to_here, Towards::Back, state.clone()) => {}
        _ = state.wait_for(|(way, now)| *way == Way::Cut || *now != cuts) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, towards: Towards, state: watch::Receiver<State>) {
    let (mut piece, mut is_dead) = (vec![0; 64 * 1024], false);
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let way = state.borrow().0;
        is_dead |= matches!((way, towards), (Way::Deaf, Towards::There) | (Way::Mute, Towards::Back));
        if is_dead {
            continue;
        }
        if let Way::Slow(delay) = way {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

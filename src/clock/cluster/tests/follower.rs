//! The clock and its follower, over a reference in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::clock::cluster::reference::{Reading, Reference, ReferenceUnavailable, StoredOffset};
use crate::clock::cluster::{Follower, Settings};
use crate::clock::{Clock, Counter, HostCounter};

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

struct Local {
    counter: HostCounter,
    stored: Mutex<Option<StoredOffset>>,
    is_down: AtomicBool,
}

impl Local {
    fn new() -> Arc<Self> {
        Arc::new(Self { counter: HostCounter::start(), stored: Mutex::default(), is_down: AtomicBool::new(false) })
    }

    fn answer(&self) -> Result<(), ReferenceUnavailable> {
        if self.is_down.load(Ordering::Relaxed) { Err(ReferenceUnavailable("away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Reference for Local {
    async fn exchange(&self) -> Result<Reading, ReferenceUnavailable> {
        self.answer()?;
        let stored = self.stored.lock().unwrap().clone();
        Ok(Reading { run_id: "local".into(), server_us: 1_000_000_000_000 + self.counter.count_us(), stored })
    }

    async fn claim(&self, seen: Option<&StoredOffset>, new: &StoredOffset) -> Result<(), ReferenceUnavailable> {
        self.answer()?;
        let mut stored = self.stored.lock().unwrap();
        if stored.as_ref() == seen {
            *stored = Some(new.clone());
        }
        Ok(())
    }
}

fn quick() -> Settings {
    Settings { claim_delay: Duration::from_millis(50), ..Settings::default() }
}

async fn until(failure: &str, is_true: impl Fn() -> bool) {
    let waited = timeout(WAIT_TIMEOUT, async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{failure}"));
}

#[tokio::test]
async fn it_is_held_over_while_the_reference_is_down() {
    let local = Local::new();
    let (clock, follower) = Follower::start(HostCounter::start(), Arc::clone(&local) as _, quick()).await;
    let following = tokio::spawn(follower.run());
    assert_eq!(clock.source(), "redis");
    assert!(clock.is_within(Duration::from_millis(50)));
    local.is_down.store(true, Ordering::Relaxed);
    let near = clock.uncertainty_ms();
    let before = clock.now_us();
    until("it is no less certain", || clock.uncertainty_ms() > near + 0.2).await;
    assert!(clock.now_us() > before);
    local.is_down.store(false, Ordering::Relaxed);
    until("it is no more certain", || clock.uncertainty_ms() < near + 0.2).await;
    following.abort();
}

#[tokio::test]
async fn sleeping_ends_no_earlier_than_asked() {
    let (clock, _follower) = Follower::start(HostCounter::start(), Local::new(), quick()).await;
    let at = clock.now() + 20;
    clock.sleep_until(at).await;
    assert!(clock.now() >= at);
}

#[tokio::test]
async fn no_reader_sees_it_go_back_while_it_slews() {
    let local = Local::new();
    let (clock, follower) = Follower::start(HostCounter::start(), Arc::clone(&local) as _, quick()).await;
    // It slews all the while, backwards at first.
    let following = tokio::spawn(follower.run());
    if let Some(stored) = local.stored.lock().unwrap().as_mut() {
        stored.offset_us -= 60_000_000;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (clock, is_over) = (Arc::clone(&clock), Arc::clone(&is_over));
            std::thread::spawn(move || {
                let mut newest = i64::MIN;
                while !is_over.load(Ordering::Relaxed) {
                    let now = clock.now_us();
                    assert!(now >= newest, "back by {}", newest - now);
                    newest = now;
                }
            })
        })
        .collect();
    until("it does not follow", || clock.uncertainty_ms() > 50_000.0).await;
    assert!(!clock.is_within(Duration::from_millis(50)));
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    following.abort();
}

//! The clock and its keeper, over a reference in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::clock::cluster::reference::{Away, Reading, Reference, StoredOffset};
use crate::clock::cluster::{ClusterClock, Settings};
use crate::clock::counter::{Counter, HostCounter};

const SOON: Duration = Duration::from_secs(10);

struct Local {
    counter: HostCounter,
    stored: Mutex<Option<StoredOffset>>,
    is_away: AtomicBool,
}

impl Local {
    fn new() -> Arc<Self> {
        Arc::new(Self { counter: HostCounter::start(), stored: Mutex::default(), is_away: AtomicBool::new(false) })
    }

    fn answer(&self) -> Result<(), Away> {
        if self.is_away.load(Ordering::Relaxed) { Err(Away("away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Reference for Local {
    async fn exchange(&self) -> Result<Reading, Away> {
        self.answer()?;
        let stored = self.stored.lock().unwrap().clone();
        Ok(Reading { run_id: "local".into(), server_us: 1_000_000_000_000 + self.counter.count_us(), stored })
    }

    async fn claim(&self, seen: Option<&StoredOffset>, new: &StoredOffset) -> Result<(), Away> {
        self.answer()?;
        let mut stored = self.stored.lock().unwrap();
        if stored.as_ref() == seen {
            *stored = Some(new.clone());
        }
        Ok(())
    }
}

fn quick() -> Settings {
    Settings { courtesy: Duration::from_millis(50), ..Settings::default() }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = timeout(SOON, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn it_is_held_over_while_nobody_answers() {
    let local = Local::new();
    let (clock, keeper) = ClusterClock::start(Arc::clone(&local) as _, quick()).await;
    let keeping = tokio::spawn(keeper.run());
    assert_eq!(clock.source(), "redis");
    assert!(clock.is_within(Duration::from_millis(50)));
    local.is_away.store(true, Ordering::Relaxed);
    let near = clock.uncertainty_ms();
    let before = clock.now_us();
    until("it is no less certain", || clock.uncertainty_ms() > near + 0.2).await;
    assert!(clock.now_us() > before);
    local.is_away.store(false, Ordering::Relaxed);
    until("it is no more certain", || clock.uncertainty_ms() < near + 0.2).await;
    keeping.abort();
}

#[tokio::test]
async fn sleeping_ends_no_earlier_than_asked() {
    let (clock, _keeper) = ClusterClock::start(Local::new(), quick()).await;
    let at = clock.now() + 20;
    clock.sleep_until(at).await;
    assert!(clock.now() >= at);
}

#[tokio::test]
async fn nobody_sees_it_go_back_while_it_is_moved() {
    let local = Local::new();
    let (clock, keeper) = ClusterClock::start(Arc::clone(&local) as _, quick()).await;
    // So that it slews all the while, at first back.
    let keeping = tokio::spawn(keeper.run());
    if let Some(stored) = local.stored.lock().unwrap().as_mut() {
        stored.offset_us -= 60_000_000;
    }
    let ends = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (clock, ends) = (Arc::clone(&clock), Arc::clone(&ends));
            std::thread::spawn(move || {
                let mut newest = i64::MIN;
                while !ends.load(Ordering::Relaxed) {
                    let now = clock.now_us();
                    assert!(now >= newest, "back by {}", newest - now);
                    newest = now;
                }
            })
        })
        .collect();
    until("it does not follow", || clock.uncertainty_ms() > 50_000.0).await;
    assert!(!clock.is_within(Duration::from_millis(50)));
    ends.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    keeping.abort();
}

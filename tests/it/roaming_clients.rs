//! Clients that connect, are cut off, come back and change the transport at random,
//! while their session changes two hundred times a second: each sees every version
//! once and in order, or is told where the session stands, and all end on the newest.
//!
//! `SYNCKAIROS_WALK_SECONDS` says for how long; ten minutes is the long form.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::harness::follow::{By, ReceivedFrame, Whose};
use crate::harness::process::Host;
use crate::harness::rng::Rng;
use crate::harness::{Cluster, blitz, soon};

const WALKERS: u64 = 12;
const BETWEEN_SWITCHES: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "how long a test runs is nothing the service is told")]
fn seconds() -> u64 {
    let asked = std::env::var("SYNCKAIROS_WALK_SECONDS").ok();
    asked.map_or(5, |seconds| seconds.parse().expect("SYNCKAIROS_WALK_SECONDS is a number"))
}

/// What a walker has been through.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    connections: u64,
    updates: u64,
    syncs: u64,
}

struct Walker {
    doors: Vec<Whose>,
    rng: Rng,
    last: Option<(i64, u64)>,
    tally: Tally,
    /// The last version there will be, once it is known.
    end: Arc<AtomicU64>,
}

impl Walker {
    async fn walk(mut self) -> Tally {
        while !self.is_done() {
            self.connect().await;
        }
        self.tally
    }

    fn is_done(&self) -> bool {
        let end = self.end.load(Ordering::Acquire);
        end > 0 && self.last.is_some_and(|(_, version)| version == end)
    }

    /// One connection: some frames, now and then a nap behind which much is missed, and
    /// then it is cut.
    async fn connect(&mut self) {
        let last = self.last.map(|(epoch, version)| format!("{epoch}-{version}"));
        let door = self.rng.one_of(&self.doors).clone();
        let mut follower = door.follow(*self.rng.one_of(&By::ALL), last.as_deref()).await;
        self.tally.connections += 1;
        for _ in 0..self.rng.below(80) {
            if self.rng.chance(2) {
                tokio::time::sleep(Duration::from_millis(self.rng.below(400) as u64)).await;
            }
            let seen = soon("a frame", follower.next()).await.expect("nobody is sent away");
            self.check(&seen);
            if self.is_done() {
                return;
            }
        }
    }

    fn check(&mut self, seen: &ReceivedFrame) {
        match (seen.kind.as_str(), seen.position, self.last) {
            ("HEARTBEAT" | "RECONNECT_ACK", ..) => return,
            ("STATE_SYNC", now, last) => {
                assert!(now > last, "{seen:?} after {last:?}");
                self.tally.syncs += 1;
            }
            ("STATE_UPDATE", Some((epoch, version)), Some(last)) => {
                assert_eq!((epoch, version), (last.0, last.1 + 1), "{seen:?} after {last:?}");
                self.tally.updates += 1;
            }
            other => panic!("{other:?}"),
        }
        self.last = seen.position;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roaming_client_sees_each_version_once_and_the_last() {
    let cluster = Cluster::of(2).in_real_time().start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let authorization = Host::authorization();
    let doors: Vec<_> =
        (0..2).map(|at| Whose::new(cluster.caller(at).address(), &session, authorization.clone())).collect();
    let end = Arc::new(AtomicU64::new(0));
    let walkers: Vec<_> = (0..WALKERS)
        .map(|seed| Walker {
            doors: doors.clone(),
            rng: Rng::of(seed),
            last: None,
            tally: Tally::default(),
            end: Arc::clone(&end),
        })
        .map(|walker| tokio::spawn(walker.walk()))
        .collect();
    let switches = seconds() * 200;
    let mut every = tokio::time::interval(BETWEEN_SWITCHES);
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..switches {
        every.tick().await;
        caller.command(&session, "switch").await;
    }
    end.store(2 + switches, Ordering::Release);
    let mut all = Tally::default();
    for walker in walkers {
        let tally = soon("a walker that has seen the end", walker).await.unwrap();
        assert!(tally.connections > 1 && tally.updates > 0, "{tally:?}");
        all.connections += tally.connections;
        all.updates += tally.updates;
        all.syncs += tally.syncs;
    }
    println!("{switches} switches: {all:?}");
}

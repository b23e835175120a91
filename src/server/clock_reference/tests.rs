//! Cluster clocks over a real Redis that fails.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::RedisReference;
use crate::clock::cluster::{ClusterClock, Follower, Settings};
use crate::clock::{Clock as _, Counter, HostCounter};
use crate::redis::{Redis, RedisUrl};
use crate::store::keys::Keys;
use crate::store::redis::RedisTime;
use testkit::redis::{Keeps, Server, Trio};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

const MINUTE_US: i64 = 60_000_000;

/// A host whose clock is ahead, and runs fast by so many parts per million.
#[derive(Debug, Clone, Copy)]
struct Skewed {
    host: HostCounter,
    ahead: i64,
    ppm: i64,
}

impl Counter for Skewed {
    fn count_us(&self) -> i64 {
        let counted = self.host.count_us();
        self.ahead + counted + counted * self.ppm / 1_000_000
    }
}

struct Instance {
    clock: Arc<ClusterClock<Skewed>>,
    following: JoinHandle<()>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Instance {
    async fn start(server: &Server, ahead: i64, ppm: i64) -> Self {
        Self::at(&server.url(), ahead, ppm).await
    }

    async fn at(url: &str, ahead: i64, ppm: i64) -> Self {
        let redis = Redis::connect(&RedisUrl::new(url, None).unwrap()).await.unwrap();
        let reference = Arc::new(RedisReference(RedisTime::new(redis, Keys::default())));
        let counter = Skewed { host: HostCounter::start(), ahead, ppm };
        let settings = Settings { claim_delay: Duration::from_millis(300), ..Settings::default() };
        let started = timeout(WAIT_TIMEOUT, Follower::start(counter, reference, settings)).await;
        let (clock, follower) = started.expect("the clock does not start");
        Self { clock, following: tokio::spawn(follower.run()) }
    }

    async fn until_uncertain(&self, failure: &str, is_met: impl Fn(f64) -> bool) {
        let waited = timeout(WAIT_TIMEOUT, async {
            while !is_met(self.clock.uncertainty_ms()) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{failure}: {} ms", self.clock.uncertainty_ms()));
    }

    /// The greatest difference between this clock and `host` while `during` runs, in
    /// microseconds.
    async fn max_deviation(&self, host: HostCounter, during: impl Future<Output = ()>) -> i64 {
        let difference = || self.clock.now_us() - host.count_us();
        let (first, mut max) = (difference(), 0_i64);
        let watching = async {
            loop {
                max = max.max((difference() - first).abs());
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = during => {}
            () = watching => {}
        }
        max
    }
}

/// The difference between two clocks, by the quickest of a few comparisons.
fn difference(one: &Instance, two: &Instance) -> i64 {
    let compare = |_| {
        let (before, other, after) = (one.clock.now_us(), two.clock.now_us(), one.clock.now_us());
        (after - before, (other - i64::midpoint(before, after)).abs())
    };
    (0..5).map(compare).min().unwrap().1
}

/// The stored offset: its process, and milliseconds.
fn stored(server: &Server) -> Vec<String> {
    server.say(&["HMGET", "sk:{clock}", "run_id", "offset_ms"])
}

fn run_id(server: &Server) -> String {
    let said = server.say(&["INFO", "server"]).concat();
    said.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap().trim().to_owned()
}

async fn until_stored(server: &Server) {
    let id = run_id(server);
    let waited = timeout(WAIT_TIMEOUT, async {
        while stored(server).first() != Some(&id) {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("no instance continues cluster time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_minutes_apart_agree_within_a_millisecond() {
    let server = Server::start(Keeps::Nothing);
    let one = Instance::start(&server, -5 * MINUTE_US, 90).await;
    let two = Instance::start(&server, 5 * MINUTE_US, -90).await;
    for each in [&one, &two] {
        each.until_uncertain("it is never certain", |ms| ms < 0.9).await;
    }
    let (mut differences, end) = (Vec::new(), Instant::now() + Duration::from_secs(2));
    while Instant::now() < end {
        differences.push(difference(&one, &two));
        sleep(Duration::from_millis(5)).await;
    }
    differences.sort_unstable();
    println!(
        "apart by {} us in the middle, {} us at most",
        differences[differences.len() / 2],
        differences[differences.len() - 1]
    );
    assert!(differences[differences.len() * 99 / 100] < 1_000, "{differences:?}");
    assert_eq!(stored(&server), [run_id(&server), "0.000".into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_is_killed_and_restarted_steps_no_clock() {
    for keeps in [Keeps::Nothing, Keeps::All] {
        let mut server = Server::start(keeps);
        // Cluster time is an hour ahead of the master's, as after an earlier failover.
        server.say(&["HSET", "sk:{clock}", "run_id", &run_id(&server), "offset_ms", "3600000"]);
        let (one, two) = (Instance::start(&server, MINUTE_US, 50).await, Instance::start(&server, 0, -50).await);
        let host = HostCounter::start();
        let before = one.clock.now_us() - host.count_us();
        let deviation = one.max_deviation(host, async {
            server.kill();
            sleep(Duration::from_millis(300)).await;
            server.start_again();
            until_stored(&server).await;
            two.until_uncertain("it is never certain again", |ms| ms < 2.0).await;
            one.until_uncertain("it is never certain again", |ms| ms < 2.0).await;
        });
        let deviation = deviation.await;
        let after = one.clock.now_us() - host.count_us();
        println!("{keeps:?}: {} us in between, {deviation} us at most", after - before);
        assert!(deviation < 5_000, "{keeps:?}: stepped by {deviation} us");
        assert!(difference(&one, &two) < 5_000);
        let offset: f64 = stored(&server)[1].parse().unwrap();
        assert!((offset - 3_600_000.0).abs() < 10.0, "{keeps:?}: {offset}");
        // A new instance takes over the time of the others.
        let new = Instance::start(&server, 9 * MINUTE_US, 0).await;
        assert!(difference(&one, &new) < 5_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_forgets_gets_the_same_offset() {
    let server = Server::start(Keeps::Nothing);
    server.say(&["HSET", "sk:{clock}", "run_id", &run_id(&server), "offset_ms", "-1234.567"]);
    let one = Instance::start(&server, 0, 0).await;
    let deviation = one.max_deviation(HostCounter::start(), async {
        server.say(&["FLUSHALL"]);
        until_stored(&server).await;
    });
    assert!(deviation.await < 5_000);
    assert_eq!(stored(&server)[1], "-1234.567");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uncertainty_grows_while_the_reference_is_frozen() {
    let server = Server::start(Keeps::Nothing);
    let one = Instance::start(&server, 0, 20).await;
    one.until_uncertain("it is never certain", |ms| ms < 0.9).await;
    server.freeze();
    let near = one.clock.uncertainty_ms();
    let deviation = one.max_deviation(HostCounter::start(), async {
        one.until_uncertain("it stays certain", |ms| ms > near + 0.6).await;
    });
    let deviation = deviation.await;
    assert!(deviation < 3_000, "stepped by {deviation} us");
    server.thaw();
    one.until_uncertain("it is never certain again", |ms| ms < near + 0.3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_gets_the_continuing_offset() {
    let mut trio = Trio::start();
    let replica = trio.replica_of_first();
    // The first of them holds the slot of the clock.
    let [first, ..] = &mut trio.0;
    first.say(&["HSET", "sk:{clock}", "run_id", &run_id(first), "offset_ms", "-3600000"]);
    first.until_copied();
    let url = trio.url();
    let (one, two) = (Instance::at(&url, MINUTE_US, 50).await, Instance::at(&url, 0, -50).await);
    let deviation = one.max_deviation(HostCounter::start(), async {
        trio.0[0].kill();
        until_stored(&replica).await;
        two.until_uncertain("it is never certain again", |ms| ms < 2.0).await;
        one.until_uncertain("it is never certain again", |ms| ms < 2.0).await;
    });
    let deviation = deviation.await;
    println!("{deviation} us at most, {} us between two", difference(&one, &two));
    assert!(deviation < 5_000 && difference(&one, &two) < 5_000, "stepped by {deviation} us");
    let offset: f64 = stored(&replica)[1].parse().unwrap();
    assert!((offset + 3_600_000.0).abs() < 10.0, "{offset}");
}

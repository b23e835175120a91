//! The quota of streams over all instances, with leases in memory and in Redis.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::limits::{QuotaExceeded, StreamPermit, StreamQuota};
use crate::membership::contract::{Instance, Setup, TEST_TIMEOUT, promises, subject};
use testkit::redis::Trio;

/// An instance that publishes its counts.
struct Counter {
    instance: Instance,
    quota: Arc<StreamQuota>,
    publishing: JoinHandle<()>,
}

impl Drop for Counter {
    /// As if it were killed.
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

impl Counter {
    fn start(setup: &Setup, number: u64) -> Self {
        let instance = setup.instance(number);
        let quota = StreamQuota::new(Arc::clone(&instance.gate) as _, Arc::clone(&instance.membership));
        let publishes = Arc::clone(&quota);
        Self { instance, quota, publishing: tokio::spawn(async move { publishes.run().await }) }
    }

    /// Two instances that see each other.
    async fn pair(setup: &Setup) -> (Self, Self) {
        let (one, two) = (Self::start(setup, 1), Self::start(setup, 2));
        one.instance.until_sees(2).await;
        two.instance.until_sees(2).await;
        (one, two)
    }

    async fn acquire(&self, name: &str, limit: u32) -> StreamPermit {
        let acquired = timeout(TEST_TIMEOUT, async {
            loop {
                match self.quota.acquire(subject(name), limit).await {
                    Ok(permit) => return permit,
                    Err(QuotaExceeded::Full) => sleep(Duration::from_millis(10)).await,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        acquired.await.expect("the quota is never free")
    }

    async fn is_full(&self, name: &str, limit: u32) -> bool {
        matches!(self.quota.acquire(subject(name), limit).await, Err(QuotaExceeded::Full))
    }

    /// Returns once a late publication is counted.
    async fn until_full(&self, name: &str, limit: u32) {
        let full = timeout(TEST_TIMEOUT, async {
            while !self.is_full(name, limit).await {
                sleep(Duration::from_millis(10)).await;
            }
        });
        full.await.expect("the count is never published");
    }
}

promises! {
    streams_without_a_lease_are_counted_once_it_is_renewed
    streams_of_the_dead_do_not_count
    a_dropped_permit_frees_its_stream
    permits_never_exceed_the_limit
}

async fn streams_without_a_lease_are_counted_once_it_is_renewed(setup: Setup) {
    let one = Counter::start(&setup, 1);
    one.instance.until_sees(1).await;
    let mut owned = one.instance.membership.audited();
    owned.mark_unchanged();
    one.instance.gate.is_shut.store(true, Ordering::Relaxed);
    timeout(TEST_TIMEOUT, owned.changed()).await.expect("the lease does not end").unwrap();
    assert!(matches!(one.quota.acquire(subject("x"), 1).await, Err(QuotaExceeded::NoMember)));
    let _permit = one.quota.acquire_unchecked(subject("x"));
    one.instance.gate.is_shut.store(false, Ordering::Relaxed);
    let two = Counter::start(&setup, 2);
    two.instance.until_sees(2).await;
    two.until_full("x", 1).await;
}

async fn streams_of_the_dead_do_not_count(setup: Setup) {
    let (one, two) = Counter::pair(&setup).await;
    let _permits = [one.acquire("x", 2).await, one.acquire("x", 2).await];
    assert!(two.is_full("x", 2).await);
    drop(one);
    let _permit = two.acquire("x", 2).await;
}

async fn a_dropped_permit_frees_its_stream(setup: Setup) {
    let (one, two) = Counter::pair(&setup).await;
    for _ in 0..20 {
        let permit = one.acquire("x", 1).await;
        assert!(two.is_full("x", 1).await && one.is_full("x", 1).await);
        drop(permit);
        drop(two.acquire("x", 1).await);
    }
}

async fn permits_never_exceed_the_limit(setup: Setup) {
    let (one, two) = Counter::pair(&setup).await;
    let tries = (0..40).map(|number| if number % 2 == 0 { &one } else { &two }.quota.acquire(subject("x"), 5));
    let permits: Vec<_> = futures::future::join_all(tries).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(permits.len(), 5);
    // A caller that goes away before the answer takes no stream for long.
    for _ in 0..10 {
        let _ = timeout(Duration::ZERO, one.quota.acquire(subject("y"), 1)).await;
    }
    drop(two.acquire("y", 1).await);
}

#[tokio::test]
async fn counts_are_published_again_to_a_redis_that_lost_them() {
    let setup = Setup::redis().await;
    let (one, two) = Counter::pair(&setup).await;
    let _permit = one.acquire("x", 1).await;
    setup.server.as_ref().unwrap().say(&["FLUSHALL"]);
    two.until_full("x", 1).await;
    one.instance.until_sees(2).await;
}

#[tokio::test]
async fn in_a_cluster_a_dropped_permit_frees_its_stream() {
    let trio = Trio::start();
    a_dropped_permit_frees_its_stream(Setup::at(&trio.url()).await).await;
}

//! Quotas of a tenant over several instances, in memory and in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::TestTime;
use crate::domain::id::TenantId;
use crate::limits::{
    Drawn, LeaseRequest, MemoryPool, Pool, PoolError, RedisPool, TenantLimits, TenantQuotaError, TenantQuotas,
    TimeSource,
};
use crate::redis::{Redis, RedisError, RedisUrl};
use crate::store::keys::Keys;
use testkit::redis::{Keeps, Server};

struct Fixed(Option<u32>);

impl TenantLimits for Fixed {
    fn commands_per_s(&self, tenant: &TenantId) -> Option<u32> {
        self.0.filter(|_| tenant.as_str() != "free")
    }

    fn creates_per_min(&self, _: &TenantId) -> Option<u32> {
        self.0
    }
}

/// Counts draws, and may be cut.
struct Watched {
    pool: MemoryPool,
    draws: AtomicU32,
    is_cut: AtomicBool,
}

#[async_trait]
impl Pool for Watched {
    async fn draw(&self, request: LeaseRequest<'_>) -> Result<Drawn, PoolError> {
        self.draws.fetch_add(1, Ordering::Relaxed);
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(RedisError::protocol().into());
        }
        self.pool.draw(request).await
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn quotas(count: Option<u32>, instances: usize, time: &TestTime) -> (Vec<TenantQuotas>, Arc<Watched>) {
    let pool = MemoryPool::new(time.now());
    let pool = Arc::new(Watched { pool, draws: AtomicU32::new(0), is_cut: AtomicBool::new(false) });
    let one = |_| {
        let instances = Arc::new(move || instances);
        TenantQuotas::new(Arc::new(Fixed(count)), Arc::clone(&pool) as _, instances, time.now())
    };
    ((0..instances).map(one).collect(), pool)
}

#[tokio::test]
async fn a_quota_is_drawn_in_leases_and_held_over_all_instances() {
    let time = TestTime::default();
    let (instances, pool) = quotas(Some(1_000), 3, &time);
    let mut done = 0;
    // Five seconds in which each instance asks 1,000 times a second.
    for _ in 0..5_000 {
        time.advance_ms(1);
        for instance in &instances {
            done += u32::from(instance.take_commands(&acme(), 1).await.is_ok());
        }
    }
    assert!((4_900..=5_300).contains(&done), "{done}");
    let draws = pool.draws.load(Ordering::Relaxed);
    assert!(draws < done / 10, "{draws} draws for {done}");
}

#[tokio::test]
async fn nobody_asks_for_a_tenant_without_a_quota_or_while_it_is_known_to_be_used_up() {
    let time = TestTime::default();
    let (instances, pool) = quotas(Some(10), 1, &time);
    let free = TenantId::new("free").unwrap();
    for _ in 0..100 {
        instances[0].take_commands(&free, 500).await.unwrap();
    }
    assert_eq!((pool.draws.load(Ordering::Relaxed), instances[0].len()), (0, 0));
    let mut passed = 0;
    for _ in 0..100 {
        passed += u32::from(instances[0].take_commands(&acme(), 1).await.is_ok());
    }
    assert_eq!((passed, pool.draws.load(Ordering::Relaxed)), (10, 11), "the burst, and one refusal");
    let refused = instances[0].take_commands(&acme(), 1).await;
    let Err(TenantQuotaError::Exhausted { quota: 10, wait, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(wait, Duration::from_millis(100));
    time.advance_ms(100);
    instances[0].take_commands(&acme(), 1).await.unwrap();
}

#[tokio::test]
async fn a_batch_passes_a_full_bucket_and_is_paid_for() {
    let time = TestTime::default();
    let (instances, _) = quotas(Some(100), 1, &time);
    instances[0].take_commands(&acme(), 500).await.unwrap();
    time.advance_ms(4_700);
    assert!(instances[0].take_commands(&acme(), 1).await.is_err());
    time.advance_ms(200);
    instances[0].take_commands(&acme(), 1).await.unwrap();
}

#[tokio::test]
async fn without_the_pool_the_last_lease_is_used_and_no_more() {
    let time = TestTime::default();
    let (instances, pool) = quotas(Some(1_000), 1, &time);
    instances[0].take_commands(&acme(), 1).await.unwrap();
    pool.is_cut.store(true, Ordering::Relaxed);
    let mut passed = 0;
    let refused = loop {
        match instances[0].take_commands(&acme(), 1).await {
            Ok(()) => passed += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, TenantQuotaError::Unavailable(_)), "{refused}");
    assert_eq!(passed, 99);
    pool.is_cut.store(false, Ordering::Relaxed);
    instances[0].take_commands(&acme(), 1).await.unwrap();
}

#[tokio::test]
async fn a_quota_of_nothing_lets_nothing_through_and_creates_count_by_the_minute() {
    let time = TestTime::default();
    let (instances, _) = quotas(Some(0), 1, &time);
    assert!(instances[0].take_commands(&acme(), 1).await.is_err());
    let (instances, _) = quotas(Some(6), 1, &time);
    for _ in 0..6 {
        instances[0].take_create(&acme()).await.unwrap();
    }
    assert!(instances[0].take_create(&acme()).await.is_err());
    instances[0].take_commands(&acme(), 1).await.unwrap();
    time.advance_ms(10_000);
    instances[0].take_create(&acme()).await.unwrap();
    time.advance_ms(3_600_000);
    instances[0].forget_idle();
    assert!(instances[0].is_empty());
}

fn host_time() -> TimeSource {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}

/// Asks as fast as it can until `until`; how often it passed.
async fn hammer(quotas: Arc<TenantQuotas>, until: Instant) -> u32 {
    let mut passed = 0;
    while Instant::now() < until {
        match quotas.take_commands(&acme(), 1).await {
            Ok(()) => passed += 1,
            Err(TenantQuotaError::Exhausted { wait, .. }) => sleep(wait.min(Duration::from_millis(5))).await,
            Err(away) => panic!("{away}"),
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_a_second_over_three_instances_and_a_real_redis() {
    const SPAN: Duration = Duration::from_secs(5);
    let server = Server::start(Keeps::Nothing);
    let redis = Redis::connect(&RedisUrl::new(&server.url(), None).unwrap()).await.unwrap();
    let mut instances = Vec::new();
    for _ in 0..3 {
        let pool = Arc::new(RedisPool::new(redis.duplicate().await.unwrap(), Keys::default()));
        instances.push(Arc::new(TenantQuotas::new(Arc::new(Fixed(Some(1_000))), pool, Arc::new(|| 3), host_time())));
    }
    let until = Instant::now() + SPAN;
    let hammers = (0..12).map(|number| tokio::spawn(hammer(Arc::clone(&instances[number % 3]), until)));
    let passed: u32 = join_all(hammers).await.into_iter().map(Result::unwrap).sum();
    assert!((4_500..=5_500).contains(&passed), "{passed} in 5 s");
}

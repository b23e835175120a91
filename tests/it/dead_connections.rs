//! Connections that are dead and do not say so.

use std::time::Duration;

use synckairos::ledger::postgres::PostgresLedger;
use synckairos::ledger::{Ledger as _, LedgerHealth as _};
use synckairos::redis::{Redis, RedisUrl};
use testkit::postgres;
use testkit::proxy::{Mode, Proxy};
use testkit::redis::{Keeps, Server};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::eventually;

/// From the end of it until questions are answered.
const RECOVERY_LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_connection_is_dropped_while_in_use() {
    for mode in [Mode::DropReplies, Mode::DropRequests] {
        let server = Server::start(Keeps::Nothing);
        let door = Proxy::to(server.port()).await;
        let url = format!("redis://{}", door.address);
        let redis = Redis::connect(&RedisUrl::new(&url, None).unwrap()).await.unwrap();
        redis.ping().await.unwrap();
        door.set(mode);
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            assert!(redis.ping().await.is_err());
            sleep(Duration::from_millis(50)).await;
        }
        door.set(Mode::Open);
        let began = Instant::now();
        eventually("an answer", async || redis.ping().await.ok()).await;
        assert!(began.elapsed() < RECOVERY_LIMIT, "{mode:?}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_postgresql_connections_free_their_pool_slots() {
    let server = postgres::Server::own(&[]).await;
    let database = server.database().await;
    PostgresLedger::migrate(&database, "test").await.unwrap();
    let (before, port) = database.split_once("@127.0.0.1:").unwrap();
    let (port, name) = port.split_once('/').unwrap();
    let door = Proxy::to(port.parse().unwrap()).await;
    let ledger = PostgresLedger::open(&format!("{before}@{}/{name}", door.address), "test").await.unwrap();
    door.set(Mode::DropReplies);
    // More than there are connections, each given up by who asked.
    for _ in 0..12 {
        assert!(timeout(Duration::from_millis(100), ledger.ping()).await.is_err());
    }
    door.set(Mode::Open);
    let began = Instant::now();
    eventually("an answer", async || ledger.ping().await.ok()).await;
    assert!(began.elapsed() < RECOVERY_LIMIT + Duration::from_secs(1), "{:?}", began.elapsed());
    timeout(RECOVERY_LIMIT + Duration::from_secs(1), ledger.close()).await.expect("it lets go of what is dead");
}

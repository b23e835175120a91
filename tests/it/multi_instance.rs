//! Several instances over one Redis and one PostgreSQL: what each tells of what another
//! wrote, and what becomes of all of them when Redis is frozen, killed or emptied.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use serde_json::{Value, json};
use synckairos::config::Config;
use synckairos::store::keys::Keys;
use tokio::time::Instant;

use crate::harness::cluster::{TENANT, key};
use crate::harness::follow::{By, Whose};
use crate::harness::process::Host;
use crate::harness::watch::{Transport, Watcher};
use crate::harness::{Answer, Caller, Cluster, Session, blitz, eventually, stopwatch, with};

/// A call to a store that does not answer fails within this.
const FAILURE_TIMEOUT: Duration = Duration::from_millis(100);

/// Watchers that are not looked after for a while are not sent away for that.
fn patient(config: &mut Config) {
    config.timers.ping = Duration::from_mins(1);
    config.timers.pong_wait = Duration::from_mins(1);
}

/// A watcher that has its first state: one without is sent away when the store is.
async fn watcher(cluster: &Cluster, instance: usize, session: &Session) -> Watcher {
    let mut watcher = cluster.watch(instance, session).over(Transport::WebSocket).await;
    watcher.until("STATE_SYNC").await;
    watcher
}

async fn versions(cluster: &Cluster, session: &Session) -> Vec<u64> {
    let rows = cluster.sql("select json_array(version) from session_snapshot order by epoch, version").await;
    assert!(!session.id.is_empty());
    rows.iter().map(|row| row[0].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_hundred_racing_switches_none_is_lost() {
    let cluster = Cluster::of(3).shared().in_real_time().with(patient).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watchers = Vec::new();
    for instance in 0..3 {
        watchers.push(watcher(&cluster, instance, &session).await);
    }
    let switching = (0..300).map(|number| {
        let caller = cluster.caller(number % 3);
        let session = &session;
        async move { caller.command(session, "switch").await.version() }
    });
    // A hundred at a time, from all three.
    let mut made: Vec<_> = stream::iter(switching).buffer_unordered(100).collect().await;
    made.sort_unstable();
    assert_eq!(made, (3..=302).collect::<Vec<_>>());
    for watcher in &mut watchers {
        watcher.until_version(302).await;
    }
    let path = format!("{}/history?limit=1000", session.path());
    let history = cluster.caller(1).get(path).await.expect(200).body;
    assert_eq!(
        (&history["complete_to"], history["changes"].as_array().map(Vec::len)),
        (&history["changes"][301]["position"], Some(302))
    );
    assert_eq!(versions(&cluster, &session).await, (1..=302).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_every_instance_on_every_transport() {
    let cluster = Cluster::of(2).shared().start().await;
    let session = cluster.caller(0).running(blitz()).await;
    for (instance, by) in [0, 1].into_iter().flat_map(|instance| By::ALL.map(|by| (instance, by))) {
        let before = cluster.caller(instance).get(session.path()).await.expect(200);
        let position = before.header("etag").trim_start_matches("W/").trim_matches('"').to_owned();
        let whose = Whose::new(cluster.instance(instance).address, &session, Host::authorization());
        let mut follower = whose.follow(by, Some(&position)).await;
        cluster.clock().advance_ms(1_000);
        cluster.caller(1 - instance).command(&session, "switch").await;
        follower.until_version(before.version() + 1).await;
    }
}

/// Asks for a switch until it is done; whatever else is said says when to come again.
async fn insist(caller: &Caller, session: &Session) -> Answer {
    eventually("a switch", async || {
        let answer = caller.command_with(session, "switch", json!({})).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        assert!(answer.status == 200 || answer.body["retry_after_ms"].as_u64().is_some(), "{answer:?}");
        (answer.status == 200).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_fails_calls_fast_and_keeps_streams() {
    let cluster = Cluster::of(2).shared().in_real_time().with(patient).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watcher = watcher(&cluster, 1, &session).await;
    cluster.backends().redis().unwrap().freeze();
    let caller = cluster.caller(1);
    // The first few wait for an answer; then nobody does.
    eventually("the breaker opens", async || {
        let began = Instant::now();
        let answer = caller.command_with(&session, "switch", json!({})).await.expect(503);
        assert!(["store_unavailable", "outcome_unknown"].contains(&answer.code()), "{answer:?}");
        (began.elapsed() < FAILURE_TIMEOUT).then_some(())
    })
    .await;
    caller.get("/ready").await.expect(503);
    caller.get("/health").await.expect(200);
    caller.get("/v1/time").await.expect(200);
    eventually("heartbeats say so", async || {
        watcher.until("HEARTBEAT").await["payload"]["store"]["stale_since"].is_string().then_some(())
    })
    .await;
    cluster.backends().redis().unwrap().thaw();
    // What had been asked for before may have been done by now, and shows.
    let version = insist(&caller, &session).await.version();
    watcher.until_version(version).await;
    eventually("heartbeats say so", async || {
        (watcher.until("HEARTBEAT").await["payload"]["store"] == "ok").then_some(())
    })
    .await;
    // The ledger's wait for it has ended as well, or what is left over fails the test.
    caller.get(format!("{}/history", session.path())).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_redis_goes_on_in_a_new_epoch() {
    let mut cluster = Cluster::of(2).kept().in_real_time().with(patient).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watchers = [watcher(&cluster, 0, &session).await, watcher(&cluster, 1, &session).await];
    let before = cluster.caller(0).command(&session, "switch").await.body;
    cluster.backends_mut().redis_mut().kill();
    cluster.backends_mut().redis_mut().start_again();
    let after = insist(&cluster.caller(1), &session).await.body;
    assert_eq!(after["version"].as_u64(), before["version"].as_u64().map(|version| version + 1));
    assert!(after["epoch"].as_i64() > before["epoch"].as_i64(), "{after}");
    assert_eq!(after["recovered"], true);
    for watcher in &mut watchers {
        assert_eq!(watcher.until_version(4).await["payload"]["epoch"], after["epoch"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_noticed_without_a_disconnect() {
    let cluster = Cluster::of(2).shared().in_real_time().with(patient).start().await;
    let session = cluster.caller(0).running(stopwatch()).await;
    let mut watcher = watcher(&cluster, 1, &session).await;
    let before = cluster.caller(0).command(&session, "switch").await.body;
    watcher.until_version(3).await;
    cluster.caller(0).get(format!("{}/history", session.path())).await.expect(200);
    cluster.backends().redis().unwrap().say(&["FLUSHALL"]);
    // Nobody asks: what is watched is read again by itself, and taken back from the ledger.
    let told = watcher.until_version(3).await;
    assert!(told["payload"]["epoch"].as_i64() > before["epoch"].as_i64(), "{told}");
    assert_eq!(cluster.caller(0).command(&session, "switch").await.version(), 4);
    watcher.until_version(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_in_a_flushed_redis_is_announced() {
    let cluster = Cluster::of(2).shared().start().await;
    let session = cluster.caller(0).running(blitz()).await;
    cluster.caller(0).get(format!("{}/history", session.path())).await.expect(200);
    let mut tap = cluster.tap(&session).await;
    cluster.clock().advance_ms(120_000);
    let expired = tap.next().await;
    assert_eq!(expired[1]["type"], "TIME_EXPIRED");
    // To a clock that is set forward it looks as if nobody had been there.
    let charged = json!({"session_id": "other", "on_outage": "charge"});
    let other = cluster.caller(1).running(with(blitz(), charged)).await;
    cluster.caller(1).get(format!("{}/history", other.path())).await.expect(200);
    let mut tap = cluster.tap(&other).await;
    let (redis, state) = (cluster.backends().redis().unwrap(), Keys::default().state(&key(TENANT, &other)));
    redis.say(&["FLUSHALL"]);
    // Nobody asks. Were it noticed a minute later, nobody would have been there for so long,
    // and it would come back paused.
    eventually("it is given back", async || (redis.say(&["EXISTS", &state]) == ["1"]).then_some(())).await;
    cluster.clock().advance_ms(60_000);
    let expired = tap.next().await;
    assert_eq!((&expired[1]["type"], &expired[0]["payload"]["recovered"]), (&json!("TIME_EXPIRED"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stored_format_is_answered_with_503_and_kept() {
    let cluster = Cluster::of(1).shared().start().await;
    let session = cluster.caller(0).running(blitz()).await;
    cluster.caller(0).get(format!("{}/history", session.path())).await.expect(200);
    let (redis, state) = (cluster.backends().redis().unwrap(), Keys::default().state(&key(TENANT, &session)));
    let newer = format!("2 another form of {}", session.id);
    redis.say(&["HSET", &state, "h", &newer]);
    let caller = cluster.caller(0);
    caller.get(session.path()).await.expect(503).refused("needs_repair");
    for command in ["switch", "pause"] {
        caller.command_with(&session, command, json!({})).await.expect(503).refused("needs_repair");
    }
    cluster.clock().advance_ms(120_000);
    assert_eq!(redis.say(&["HGET", &state, "h"]), [newer]);
    cluster.broken_on_purpose();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_instance_hands_over_its_partitions() {
    let cluster = Cluster::of(3).shared().start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let knows = |instance: usize| cluster.part(instance).backend.membership().unwrap().live_members().len();
    cluster.part(2).finish(Duration::from_secs(1)).await;
    eventually("the others know", async || (knows(0) == 2 && knows(1) == 2).then_some(())).await;
    let mut tap = cluster.tap(&session).await;
    cluster.clock().advance_ms(60_000);
    let expired: Vec<Value> = tap.next().await;
    assert_eq!(expired[1]["type"], "TIME_EXPIRED");
    cluster.caller(1).get(format!("{}/history", session.path())).await.expect(200);
    cluster.broken_on_purpose();
}

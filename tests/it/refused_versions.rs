//! What the ledger refused for good: kept in the store, taken back from dead letters, and
//! let go of once the ledger took it after all.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use synckairos::audit::dead_letters;
use synckairos::audit::dead_letters::Selection;
use synckairos::domain::chain::{Digest, Link};
use synckairos::domain::entry::Entry;
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;
use synckairos::store::keys::Keys;

use crate::harness::backends::REFUSE_IN_FILE;
use crate::harness::cluster::{TENANT, key};
use crate::harness::process::Host;
use crate::harness::watch::Transport;
use crate::harness::{Caller, Cluster, Session, blitz, eventually, soon};

/// Longer than any session stays for nothing.
const IDLE_MS: i64 = 3_700_000;

async fn until_dead(cluster: &Cluster, letters: usize) {
    eventually("so many dead letters", async || {
        (cluster.sql("select json_array(reason) from dead_letter").await.len() == letters).then_some(())
    })
    .await;
}

async fn until_told(cluster: &Cluster, line: &str) {
    let address = cluster.instance(0).metrics_address;
    eventually(line, async || cluster.caller(0).scrape(address).await.lines().any(|told| told == line).then_some(()))
        .await;
}

async fn history(caller: &Caller, session: &Session) -> Value {
    caller.get(format!("{}/history", session.path())).await.expect(200).body
}

fn position(snapshot: &Value) -> Position {
    Position { epoch: snapshot["epoch"].as_i64().unwrap(), version: snapshot["version"].as_u64().unwrap() }
}

/// A paused session of three versions, of which the ledger refuses those from `version` on.
async fn paused(cluster: &Cluster, version: u64) -> (Session, Value) {
    let caller = cluster.caller(0);
    cluster.backends().refuse_from(Some(version)).await;
    let session = caller.running(blitz()).await;
    caller.command(&session, "pause").await.expect(200);
    until_dead(cluster, usize::try_from(4 - version).unwrap()).await;
    let snapshot = caller.snapshot(&session).await;
    assert_eq!((snapshot["status"].clone(), snapshot["version"].clone()), (json!("paused"), json!(3)));
    (session, snapshot)
}

/// The store loses it, as it never should.
fn lose(cluster: &Cluster, session: &Session) {
    let redis = cluster.backends().redis().expect("a store of its own");
    redis.say(&["DEL", &Keys::default().state(&key(TENANT, session))]);
}

async fn retry_all(cluster: &Cluster) {
    let ledger = &*cluster.parts().ledger;
    let retried =
        dead_letters::each(ledger, &Selection::All, async |letter| dead_letters::retry(ledger, letter).await.map(drop));
    assert!(retried.await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_newest_version_was_refused_is_kept_however_idle() {
    let cluster = Cluster::of(1).start().await;
    let (session, before) = paused(&cluster, 3).await;
    cluster.clock().advance_ms(IDLE_MS);
    match cluster.backends().redis() {
        None => assert_eq!(cluster.parts().evict(), Some(1)),
        Some(redis) => assert_eq!(redis.say(&["PTTL", &Keys::default().state(&key(TENANT, &session))]), ["-1"]),
    }
    assert_eq!(position(&cluster.caller(0).snapshot(&session).await), position(&before));
    until_told(&cluster, "synckairos_dead_letters 1").await;

    cluster.backends().refuse_from(None).await;
    retry_all(&cluster).await;
    until_told(&cluster, "synckairos_dead_letters 0").await;
    match cluster.backends().redis() {
        None => eventually("it is let go of", async || (cluster.parts().evict() == Some(0)).then_some(())).await,
        Some(redis) => {
            let state = Keys::default().state(&key(TENANT, &session));
            eventually("it may go", async || (redis.say(&["PTTL", &state]) != ["-1"]).then_some(())).await;
            lose(&cluster, &session);
        }
    }
    let after = cluster.caller(0).snapshot(&session).await;
    assert_eq!(
        (&after["version"], &after["status"], &after["recovered"]),
        (&json!(3), &json!("paused"), &json!(false))
    );
    until_told(&cluster, "synckairos_forks_total 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_let_go_of_under_its_watchers() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut watcher = cluster.watch(0, &session).over(Transport::WebSocket).await;
    let seen = watcher.until("STATE_SYNC").await;
    history(&caller, &session).await;
    cluster.clock().advance_ms(IDLE_MS);
    match cluster.backends().redis() {
        None => assert_eq!(cluster.parts().evict(), Some(1)),
        Some(redis) => {
            let state = Keys::default().state(&key(TENANT, &session));
            eventually("it may go", async || (redis.say(&["PTTL", &state]) != ["-1"]).then_some(())).await;
            redis.say(&["PEXPIRE", &state, "60000"]);
            eventually("it stays longer", async || {
                (redis.say(&["PTTL", &state])[0].parse::<i64>().unwrap() > 3_000_000).then_some(())
            })
            .await;
        }
    }
    let after = caller.snapshot(&session).await;
    assert_eq!(position(&after), position(&seen["payload"]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_complete_up_to_the_first_refused_version() {
    let cluster = Cluster::of(1).start().await;
    let (session, snapshot) = paused(&cluster, 3).await;
    let caller = cluster.caller(0);
    assert_eq!(history(&caller, &session).await["complete_to"], json!(format!("{}-2", snapshot["epoch"])));
    // What came later is there, and still something is missing before it.
    cluster.backends().refuse_from(None).await;
    caller.command(&session, "resume").await.expect(200);
    caller.command(&session, "pause").await.expect(200);
    let told = history(&caller, &session).await;
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(4));
    assert_eq!(told["complete_to"], json!(format!("{}-2", snapshot["epoch"])));
    retry_all(&cluster).await;
    let told = history(&caller, &session).await;
    assert_eq!(told["complete_to"], json!(format!("{}-5", snapshot["epoch"])));

    cluster.backends().refuse_from(Some(1)).await;
    let never = caller.create(blitz()).await;
    until_dead(&cluster, 1).await;
    let told = history(&caller, &never).await;
    assert_eq!((&told["changes"], &told["complete_to"]), (&json!([]), &json!(null)));
    cluster.backends().refuse_from(None).await;
    retry_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_gets_its_refused_version_and_never_an_older() {
    let cluster = Cluster::of(2).shared().start().await;
    let caller = cluster.caller(1);
    for from in [3, 1] {
        let (session, before) = paused(&cluster, from).await;
        lose(&cluster, &session);
        let after = caller.snapshot(&session).await;
        assert!(position(&after).epoch > position(&before).epoch, "{after}");
        for field in ["status", "version", "pause_reasons", "participants"] {
            assert_eq!(after[field], before[field], "{field}");
        }
        assert_eq!(after["recovered"], true, "nobody lets go of it, so it was lost");
        let again = caller.post("/v1/sessions", json!({"session_id": session.id, "sync_mode": "count_up"})).await;
        again.expect(409).refused("session_exists");
        let redis = cluster.backends().redis().unwrap();
        assert_eq!(
            redis.say(&["PTTL", &Keys::default().state(&key(TENANT, &session))]),
            ["-1"],
            "nobody else holds it"
        );
        // It goes on from there; and what was refused finds its place when the ledger takes it.
        cluster.backends().refuse_from(None).await;
        caller.command(&session, "resume").await.expect(200);
        retry_all(&cluster).await;
        let told = history(&caller, &session).await;
        let seen: Vec<_> = told["changes"].as_array().unwrap().iter().map(|change| &change["superseded"]).collect();
        assert_eq!(seen, [&json!(false); 4], "{told}");
    }
    until_told(&cluster, "synckairos_forks_total 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_version_recovers_by_itself_after_a_store_loss() {
    let cluster = Cluster::of(1).shared().start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    history(&caller, &session).await;
    cluster.backends().refuse_from(Some(2)).await;
    caller.command(&session, "start").await.expect(200);
    until_dead(&cluster, 1).await;
    lose(&cluster, &session);
    cluster.backends().refuse_from(None).await;
    cluster.clock().advance_ms(120_000);
    // Nobody asks for it, and the ledger only knows it pending.
    eventually("its expiry is recorded", async || {
        let newest = cluster.sql("select json_array(version) from session_snapshot order by version desc").await;
        (newest.first() == Some(&json!([3]))).then_some(())
    })
    .await;
    assert_eq!(caller.snapshot(&session).await["status"], "expired");
    retry_all(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_a_dead_version_later_counts_as_a_fork() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let first = caller.snapshot(&session).await;
    history(&caller, &session).await;
    cluster.clock().advance_ms(IDLE_MS);
    cluster.let_go_of(&session);
    caller.command(&session, "start").await.expect(200);
    caller.command(&session, "pause").await.expect(200);
    history(&caller, &session).await;
    let ledger = &cluster.parts().ledger;
    let rows = ledger.history(&key(TENANT, &session), None, 9).await.unwrap().rows;
    let (begun, paused) = (&rows[0], ledger.newest(&key(TENANT, &session)).await.unwrap().unwrap());
    let link = Link {
        position: Position { version: 2, ..position(&first) },
        at: begun.link.at + 1,
        previous: begun.link.digest(),
        body: Digest::of(paused.body.as_deref().unwrap()),
    };
    let lost =
        Entry { key: key(TENANT, &session), link, body: paused.body, change: begun.change.clone(), idempotency: None };
    ledger.add_dead_letter(&lost, "an earlier release let go of it", Timestamp::from_ms(1)).await.unwrap();
    until_told(&cluster, "synckairos_dead_letters 1").await;
    assert_eq!(caller.snapshot(&session).await["status"], "paused", "the later epoch counts");
    retry_all(&cluster).await;
    until_told(&cluster, "synckairos_forks_total 1").await;
}

/// The ledger of a host refuses versions from that one on.
async fn refuse(host: &Host, version: u64) {
    let mut connection = SqliteConnectOptions::new().filename(host.ledger()).connect().await.unwrap();
    let statement = REFUSE_IN_FILE.replace("$1", &version.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn until_listed(host: &Host, letters: usize) -> String {
    eventually("so many are listed", async || {
        let listed = host.run(&["audit", "dead", "list"]).await;
        let listed = String::from_utf8(listed.stdout).unwrap();
        (listed.lines().filter(|line| line.contains("not taken")).count() == letters).then_some(listed)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_refused_versions() {
    let host = Host::new();
    let mut process = host.serve().await;
    let caller = host.caller();
    refuse(&host, 3).await;
    let session = caller.running(blitz()).await;
    caller
        .asking(http::Method::POST, format!("{}/pause", session.path()))
        .key("k")
        .json(&json!({}))
        .send()
        .await
        .expect(200);
    let listed = until_listed(&host, 1).await;
    assert!(listed.contains("without them the session would come back as "), "{listed}");
    let before = caller.snapshot(&session).await;
    for is_killed in [false, true] {
        if is_killed {
            process.kill();
        } else {
            assert!(process.terminate().await.success());
        }
        process = host.serve().await;
        let after = caller.snapshot(&session).await;
        assert_eq!((&after["status"], &after["version"]), (&json!("paused"), &json!(3)), "{is_killed}");
        assert_eq!((&after["recovered"], &after["participants"]), (&json!(is_killed), &before["participants"]));
        // The answer was refused together with what it answered, and is known all the same.
        let asking = caller.asking(http::Method::POST, format!("{}/pause", session.path()));
        let again = asking.key("k").json(&json!({})).send().await.expect(200);
        assert_eq!(again.header("idempotent-replayed"), "true");
        eventually("a gauge that is right after a restart", async || {
            host.scrape().await.lines().any(|line| line == "synckairos_dead_letters 1").then_some(())
        })
        .await;
    }
    assert!(soon("the end", process.terminate()).await.success());
}

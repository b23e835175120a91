//! What happens by itself: at its exact instant, once, told in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use synckairos::app::CommandRequest;
use synckairos::app::create::IdSource;
use synckairos::bus::{BusEvent, Message};
use synckairos::clock::Clock;
use synckairos::config::Timers;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::command::Command;
use synckairos::domain::session::control::{Rules, SyncMode};
use synckairos::domain::session::new::NewSession;
use synckairos::domain::time::Timestamp;
use synckairos::wire::command::CommandInput;
use synckairos::wire::instant;
use tokio::sync::mpsc::Receiver;

use crate::harness::cluster::{Plan, TENANT};
use crate::harness::{Cluster, blitz, countdown, with};

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_told_at_its_instant_and_once_by_a_whole_cluster() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let mut tap = cluster.tap(&session).await;
    cluster.caller(0).command(&session, "start").await;
    assert_eq!(tap.next().await[0]["event"]["command"], "start");
    cluster.clock().advance_ms(59_999);
    for instance in 0..3 {
        assert_eq!(cluster.caller(instance).snapshot(&session).await["status"], "running");
    }
    assert!(tap.rest().is_empty(), "told early");
    cluster.clock().advance_ms(1);
    let told = tap.next().await;
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0]["type"], &told[0]["payload"]["status"]), (&json!("STATE_UPDATE"), &json!("expired")));
    let payload = json!({"participant_id": "white", "expired_at": "2026-01-01T00:01:00.000Z", "action": "expire"});
    assert_eq!((&told[1]["type"], &told[1]["payload"]), (&json!("TIME_EXPIRED"), &payload));
    assert_eq!(told[1]["position"], told[0]["position"]);
    cluster.clock().advance_ms(5_000);
    for instance in 0..3 {
        let present = cluster.caller(instance).snapshot(&session).await;
        assert_eq!((&present["version"], &present["status"]), (&json!(3), &json!("expired")));
    }
    assert!(tap.rest().is_empty(), "told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_announced_once_whichever_instance_finds_it() {
    let cluster = Cluster::of(3).start().await;
    let session = cluster.caller(0).create(countdown(1_000)).await;
    let mut tap = cluster.tap(&session).await;
    cluster.caller(0).command(&session, "start").await;
    tap.next().await;
    cluster.clock().advance_ms(1_000);
    // Many look at the same moment as the service itself does.
    let callers: Vec<_> = (0..30).map(|each| cluster.caller(each % 3)).collect();
    let seen = futures::future::join_all(callers.iter().map(|caller| caller.snapshot(&session))).await;
    assert!(seen.iter().all(|each| each["version"] == 3 && each["status"] == "expired"));
    assert_eq!(tap.next().await[1]["payload"]["expired_at"], "2026-01-01T00:00:01.000Z");
    assert!(tap.rest().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_was_moved_is_not_told() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(countdown(1_000)).await;
    let mut tap = cluster.tap(&session).await;
    caller.command(&session, "start").await;
    caller.command_with(&session, "adjust", json!({"add_ms": 500})).await.expect(200);
    cluster.clock().advance_ms(1_000);
    assert_eq!(caller.snapshot(&session).await["status"], "running");
    caller.command(&session, "pause").await;
    cluster.clock().advance_ms(60_000);
    assert_eq!(caller.snapshot(&session).await["status"], "paused");
    let commands: Vec<_> = tap.rest().iter().map(|frames| frames[0]["event"]["command"].clone()).collect();
    assert_eq!(commands, ["start", "adjust", "pause"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_advance_by_themselves_are_each_told() {
    let cluster = Cluster::of(2).start().await;
    let round = json!({
        "sync_mode": "per_cycle", "time_per_cycle_ms": 1_000, "auto_advance": true,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}],
    });
    let session = cluster.caller(0).create(round).await;
    let mut tap = cluster.tap(&session).await;
    cluster.caller(0).command(&session, "start").await;
    tap.next().await;
    for (turn, active) in [(1, "b"), (2, "a"), (3, "b")] {
        cluster.clock().advance_ms(1_000);
        let told = tap.next().await;
        assert_eq!(told[0]["payload"]["active_participant_id"], active);
        assert_eq!(instant_ms(&told[1]["payload"]["expired_at"]), crate::harness::cluster::BEGIN_MS + turn * 1_000);
    }
    // A long silence is one write.
    cluster.clock().advance_ms(100_000);
    tap.next().await;
    assert_eq!(cluster.caller(1).snapshot(&session).await["version"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_comes_back_from_the_ledger_when_asked_for() {
    let plan = Cluster::of(1).with(|config| config.session_idle_ttl = Duration::from_secs(1));
    let cluster = plan.start().await;
    let caller = cluster.caller(0);
    let session = caller.create(with(blitz(), json!({"session_id": "idle"}))).await;
    caller.get(format!("{}/history", session.path())).await.expect(200);
    let before = caller.snapshot(&session).await;
    cluster.clock().advance_ms(3_600_000);
    cluster.let_go_of(&session);
    let after = caller.snapshot(&session).await;
    assert_eq!((&after["version"], &after["recovered"]), (&before["version"], &json!(false)));
    assert_eq!((&after["recovered_at"], &after["recovered_from"]), (&json!(null), &json!(null)));
    assert!(after["epoch"].as_i64() > before["epoch"].as_i64());
    assert_eq!(caller.command(&session, "start").await.version(), 2);
}

fn instant_ms(value: &Value) -> i64 {
    instant::parse(value.as_str().unwrap()).unwrap().as_ms()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_timers_within_a_second() {
    told_in_time(Cluster::of(1).embedded(), 1_000, 1_000, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_three_instances_look_after_are_each_told_once() {
    told_in_time(Cluster::of(3).shared(), 300, 1_000, 1_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_timers_within_ten_seconds() {
    // Making so many one by one takes longer than a test may where every one is asked for at two servers.
    told_in_time(Cluster::of(1).embedded(), 10_000, 1_000, 10_000).await;
}

/// How late so many of a hundred may be told. Without optimisation, and with the rest
/// of the suite on the same cores, it is only asked that they are not left to a poll.
const IN_TIME: (usize, i64) = if cfg!(debug_assertions) { (50, 100_000) } else { (99, 10_000) };

/// So many are set at the same time.
const MAX_CONCURRENT_CREATES: usize = 64;

/// So many timers, the first of which runs out after `lead_ms`, spread over `span_ms`.
async fn told_in_time(plan: Plan, timers: usize, lead_ms: i64, span_ms: i64) {
    let cluster = plan.in_real_time().with(|config| config.timers = Timers::default()).start().await;
    let (parts, by) = (cluster.parts(), operator());
    let bus = parts.backend.bus().await.unwrap();
    let listening = tokio::spawn(expiries(bus.events().unwrap(), Arc::clone(&parts.clock), timers));
    let total_ms = |number: usize| lead_ms + i64::try_from(number).unwrap() * span_ms / i64::try_from(timers).unwrap();
    let create = async |number: usize| {
        let key = SessionKey { tenant: by.tenant.clone(), session: SessionId::new(format!("t-{number}")).unwrap() };
        parts
            .sessions
            .create(&by, timer(&key, total_ms(number)), IdSource::Server, None, parts.clock.now())
            .await
            .unwrap();
        bus.subscribe(&key).await.unwrap();
        key
    };
    let keys: Vec<_> = stream::iter(0..timers).map(create).buffered(MAX_CONCURRENT_CREATES).collect().await;
    let start = async |key: SessionKey| {
        let start = CommandRequest::of(CommandInput::Command(Command::Start { at: None, participant: None }));
        let answer = parts.sessions.command(&by, &key.session, start, parts.clock.now()).await.unwrap();
        (key, answer.stored.session.due_at.unwrap())
    };
    // The last one first, so that their ends lie no further apart than asked for.
    let mut due: HashMap<_, _> =
        stream::iter(keys.into_iter().rev()).map(start).buffer_unordered(MAX_CONCURRENT_CREATES).collect().await;
    let mut late_us = Vec::new();
    for told in listening.await.unwrap() {
        let at = due.remove(&told.key).unwrap_or_else(|| panic!("{} is told twice", told.key));
        assert_eq!(told.expired_at, at, "{}", told.key);
        late_us.push(told.heard_us - at.as_ms() * 1_000);
    }
    assert!(due.is_empty(), "{} are not told", due.len());
    late_us.sort_unstable();
    let of = |percent: usize| late_us[(late_us.len() - 1) * percent / 100];
    println!(
        "{timers} timers within {span_ms} ms: told p50 {} us, p99 {} us, latest {} us late",
        of(50),
        of(99),
        of(100)
    );
    assert!(of(0) >= 0, "told {} us early", -of(0));
    let (percent, bound_us) = IN_TIME;
    assert!(of(percent) <= bound_us, "p{percent} is {} us late", of(percent));
}

struct AnnouncedExpiry {
    key: SessionKey,
    expired_at: Timestamp,
    heard_us: i64,
}

/// Everything that runs out, as it is heard; one more than asked for would be heard too.
async fn expiries(mut ear: Receiver<BusEvent>, clock: Arc<dyn Clock>, timers: usize) -> Vec<AnnouncedExpiry> {
    let mut all = Vec::new();
    while all.len() < timers {
        let heard = crate::harness::soon("an expiry", ear.recv()).await.expect("it is heard");
        // Who begins to listen is told of a gap first.
        let BusEvent::Message(message) = heard else { continue };
        let heard_us = clock.now_us();
        all.extend(expiry(&message).map(|expired_at| AnnouncedExpiry {
            key: message.key.clone(),
            expired_at,
            heard_us,
        }));
    }
    assert!(ear.try_recv().is_err(), "something is told twice");
    all
}

/// The exact instant, if that is what the message tells.
fn expiry(message: &Message) -> Option<Timestamp> {
    let told = message.frames.split(|byte| *byte == b'\n').nth(1)?;
    let told: Value = serde_json::from_slice(told).unwrap();
    (told["type"] == "TIME_EXPIRED").then(|| Timestamp::from_ms(instant_ms(&told["payload"]["expired_at"])))
}

fn operator() -> Arc<Principal> {
    Arc::new(Principal {
        tenant: TenantId::new(TENANT).unwrap(),
        subject: "test".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    })
}

fn timer(key: &SessionKey, total_ms: i64) -> NewSession {
    NewSession {
        session_id: key.session.clone(),
        sync_mode: SyncMode::Global,
        participants: Vec::new(),
        groups: Vec::new(),
        rules: Rules { total_time_ms: Some(total_ms), ..Rules::default() },
        metadata: serde_json::Map::new(),
    }
}

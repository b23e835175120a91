//! Random commands over random configurations, through the whole of the app: every
//! stored version is in the ledger once, and linked.
//!
//! `SYNCKAIROS_RANDOM_STEPS` says how many commands; a million takes a few minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use synckairos::app::create::IdSource;
use synckairos::app::error::Error;
use synckairos::app::{CommandRequest, Precondition};
use synckairos::domain::chain::Digest;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::Session;
use synckairos::domain::session::command::Refused;
use synckairos::domain::time::Timestamp;
use synckairos::ledger::{HistoryRow, Ledger};
use synckairos::server::Services;
use synckairos::wire::command;
use synckairos::wire::create::CreateBody;

use crate::harness::Cluster;
use crate::harness::cluster::TENANT;
use crate::harness::rng::Rng;

/// Sessions that are commanded at the same time.
const LIVE_SESSIONS: usize = 8;

/// A session is left alone after so many commands.
const COMMANDS: usize = 60;

#[expect(clippy::disallowed_methods, reason = "how long a test runs is nothing the service is told")]
fn steps() -> usize {
    let asked = std::env::var("SYNCKAIROS_RANDOM_STEPS").ok();
    asked.map_or(8_000, |steps| steps.parse().expect("SYNCKAIROS_RANDOM_STEPS is a number"))
}

#[derive(Default)]
struct Tally {
    created: usize,
    done: usize,
    refused: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stored_version_is_in_the_ledger_once_and_linked() {
    let cluster = Cluster::of(1).with(|config| config.least_advance = Duration::from_millis(100)).start().await;
    let (parts, steps) = (cluster.parts(), steps());
    let mut rng = Rng::of(7);
    let (mut live, mut known, mut tally) = (Vec::new(), Vec::new(), Tally::default());
    for step in 0..steps {
        while live.len() < LIVE_SESSIONS {
            live.extend(made(parts, &mut rng, &mut known, &mut tally).await);
        }
        let at = rng.below(live.len());
        let (key, left): &mut (SessionKey, usize) = &mut live[at];
        let is_over = asked(parts, key, &mut rng, &mut tally).await;
        // Now and then an ended session is asked again.
        *left = if is_over && rng.chance(50) { 0 } else { *left - 1 };
        if *left == 0 {
            live.swap_remove(at);
        }
        cluster.clock().advance_ms(rng.span_ms());
        // The audit is not to fall behind by more than it would in life.
        if step % 1_000 == 999 {
            let held = parts.sessions.newest(&known[known.len() - 1]).await;
            if let Some(ticket) = held.ok().and_then(|held| held.entry_id) {
                parts.store().wait_recorded(ticket).await.unwrap();
            }
        }
    }
    let versions = verify(parts, &known).await;
    let Tally { created, done, refused } = tally;
    println!(
        "{steps} commands: {created} sessions, {done} done, {refused} refused, {versions} versions stored and linked"
    );
    assert!(done > steps / 10 && refused > steps / 10, "{done} done, {refused} refused");
    let rows = cluster
        .sql("select json_array(count(*), count(distinct session_id || '/' || version)) from session_snapshot")
        .await;
    assert_eq!(rows, [json!([versions, versions])], "each version once");
}

async fn made(
    parts: &Services,
    rng: &mut Rng,
    known: &mut Vec<SessionKey>,
    tally: &mut Tally,
) -> Option<(SessionKey, usize)> {
    let key = SessionKey { tenant: tenant(), session: SessionId::new(format!("r-{}", known.len())).unwrap() };
    let Value::Object(body) = configuration(rng) else { panic!("an object") };
    let body: CreateBody = command::parsed(body).unwrap();
    let new = body.into_new(key.session.clone()).unwrap();
    match parts.sessions.create(&operator(), new, IdSource::Caller, None, parts.clock.now()).await {
        Ok(_) => {
            known.push(key.clone());
            tally.created += 1;
            Some((key, 1 + rng.below(COMMANDS)))
        }
        Err(Error::InvalidSession(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Gives whether the session has ended.
async fn asked(parts: &Services, key: &SessionKey, rng: &mut Rng, tally: &mut Tally) -> bool {
    let (name, Value::Object(body)) = wish(rng) else { panic!("an object") };
    let (input, _) = command::read(name, body).unwrap();
    let mut asked = CommandRequest { lag_ms: i64::from(rng.chance(10)) * 80, ..CommandRequest::of(input) };
    if rng.chance(5) {
        asked.expected.push(Precondition::Version(1 + rng.below(40) as u64));
    }
    if rng.chance(10) {
        asked.idempotency = Some((format!("k-{}", rng.below(3)), Digest::of(name.as_bytes())));
    }
    match parts.sessions.command(&operator(), &key.session, asked, parts.clock.now()).await {
        Ok(answer) => {
            tally.done += 1;
            answer.stored.session.status.is_ended()
        }
        Err(Error::Refused(why, ..)) => {
            tally.refused += 1;
            why == Refused::SessionEnded
        }
        Err(Error::Stale(_) | Error::IdempotencyMismatch | Error::Invalid { .. }) => {
            tally.refused += 1;
            false
        }
        Err(error) => panic!("{name} to {key}: {error:?}"),
    }
}

/// Follows every session's chain from its first link to the version the store has.
async fn verify(parts: &Services, known: &[SessionKey]) -> u64 {
    let mut versions = 0;
    for key in known {
        let newest = parts.store().read(key).await.unwrap();
        if let Some(ticket) = newest.as_ref().and_then(|held| held.entry_id) {
            parts.store().wait_recorded(ticket).await.unwrap();
        }
        let last = chained(&*parts.ledger, key).await;
        if let Some(held) = newest {
            assert_eq!(last, (held.session.position.version, held.head), "{key}");
        }
        versions += last.0;
    }
    versions
}

async fn chained(ledger: &dyn Ledger, key: &SessionKey) -> (u64, Digest) {
    let (mut version, mut previous, mut at) = (0, Digest::NONE, Timestamp::from_ms(0));
    for row in changes(ledger, key).await {
        version += 1;
        assert_eq!((row.link.position.version, row.link.previous, row.superseded), (version, previous, false), "{key}");
        let stored = ledger.version(key, version).await.unwrap().expect("it is there");
        let body = stored.body.expect("nothing is shed");
        assert_eq!(Digest::of(&body), row.link.body, "{key} at {version}");
        let session = Session::from_stored(&body).unwrap();
        assert_eq!((session.position, session.previous), (row.link.position, previous), "{key}");
        assert!(row.link.at >= at, "{key} went back in time");
        (previous, at) = (row.link.digest(), row.link.at);
    }
    (version, previous)
}

async fn changes(ledger: &dyn Ledger, key: &SessionKey) -> Vec<HistoryRow> {
    let mut changes = Vec::new();
    loop {
        let after = changes.last().map(|row: &HistoryRow| row.link.position);
        let page = ledger.history(key, after, 1_000).await.unwrap();
        changes.extend(page.rows);
        if !page.has_more {
            return changes;
        }
    }
}

fn tenant() -> TenantId {
    TenantId::new(TENANT).unwrap()
}

fn operator() -> Principal {
    Principal {
        tenant: tenant(),
        subject: "rng".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    }
}

/// Any mode with any control; about half of them make sense.
fn configuration(rng: &mut Rng) -> Value {
    let mode = *rng.one_of(&["per_participant", "per_participant", "per_cycle", "per_group", "global", "count_up"]);
    let mut body = Map::new();
    body.insert("sync_mode".into(), json!(mode));
    let banks = ["per_participant", "per_group"].contains(&mode);
    let seats = 1 + rng.below(4);
    let groups = 1 + rng.below(3);
    if mode == "per_group" {
        let all: Vec<_> = (0..groups)
            .map(|group| json!({"group_id": format!("g{group}"), "total_time_ms": rng.span_ms() * 40}))
            .collect();
        body.insert("groups".into(), json!(all));
    }
    let person = |rng: &mut Rng, seat: usize| {
        let mut person = BTreeMap::from([("participant_id", json!(format!("p{seat}")))]);
        if mode == "per_participant" {
            person.insert("total_time_ms", json!(rng.span_ms() * 40));
        }
        if mode == "per_group" {
            person.insert("group_id", json!(format!("g{}", seat % groups)));
        }
        json!(person)
    };
    let people: Vec<_> = (0..seats).map(|seat| person(rng, seat)).collect();
    body.insert("participants".into(), json!(people));
    let mut put = |name: &str, value: Value| body.insert(name.into(), value);
    match mode {
        "global" => drop(put("total_time_ms", json!(1 + rng.span_ms() * 40))),
        "per_cycle" => drop(put("time_per_cycle_ms", json!(100 + rng.span_ms()))),
        _ => {}
    }
    if banks && rng.chance(50) {
        put("increment_ms", json!(rng.below(3_000)));
    }
    if rng.chance(30) {
        put("action_on_timeout", json!({"type": rng.one_of(&["expire", "advance", "pause", "complete", "continue"])}));
    }
    if banks && rng.chance(20) {
        put("concurrency", json!("simultaneous"));
        put("increment_ms", json!(0));
    } else if banks && rng.chance(60) {
        put("time_control", control(rng));
    }
    if rng.chance(20) {
        put("lag_policy", json!(rng.one_of(&["strict", "standard", "friendly"])));
    }
    if ["global", "per_cycle"].contains(&mode) && rng.chance(30) {
        put("soft_close", json!({"window_ms": 5_000, "extension_ms": 5_000}));
    }
    if rng.chance(20) {
        put("warnings_ms", json!([10_000, 1_000]));
    }
    Value::Object(body)
}

fn control(rng: &mut Rng) -> Value {
    match rng.below(6) {
        0 => json!({"delay": {"type": "simple", "delay_ms": 1 + rng.below(5_000)}}),
        1 => json!({"delay": {"type": "bronstein", "delay_ms": 1 + rng.below(5_000)}}),
        2 => {
            json!({"overtime": {"type": "byoyomi", "periods": 1 + rng.below(5), "period_ms": 1 + rng.below(10_000)}})
        }
        3 => {
            json!({"overtime": {"type": "canadian", "cycles": 1 + rng.below(5), "period_ms": 1 + rng.below(10_000)}})
        }
        4 => {
            json!({"stages": [{"cycles": 2, "add_ms": rng.below(60_000), "increment_ms": 500}], "free_cycles": rng.below(3)})
        }
        _ => json!({"hourglass": true}),
    }
}

fn wish(rng: &mut Rng) -> (&'static str, Value) {
    let person = format!("p{}", rng.below(5));
    match rng.below(24) {
        0..=2 => ("start", json!({})),
        3 => ("start", json!({"participant_id": person})),
        4..=9 => ("switch", json!({})),
        10 => ("switch", json!({"current_participant_id": person})),
        11 => ("switch", json!({"next_participant_id": person})),
        12 => ("pause", json!({"reason": *rng.one_of(&["a", "b"])})),
        13 | 14 => ("resume", json!({})),
        15 => ("pause", json!({"participant_id": person})),
        16 => ("resume", json!({"participant_id": person})),
        17 => ("adjust", json!({"participant_id": person, "add_ms": rng.span_ms() - 2_000})),
        18 => ("adjust", json!({"set_ms": rng.span_ms() * 5})),
        19 => ("extend", json!({})),
        20 => ("revert", json!({"to_version": 1 + rng.below(20)})),
        21 => ("add_participant", json!({"participant_id": person, "total_time_ms": rng.span_ms() * 40})),
        22 => ("change_participant", json!({"participant_id": person, "participant_index": rng.below(4)})),
        _ => rare(rng, &person),
    }
}

/// What ends a session, or nearly.
fn rare(rng: &mut Rng, person: &str) -> (&'static str, Value) {
    match rng.below(5) {
        0 => ("complete", json!({"participant_id": person})),
        1 => ("complete", json!({})),
        2 => ("cancel", json!({})),
        3 => ("reset", json!({})),
        _ => ("remove_participant", json!({"participant_id": person})),
    }
}

//! Random JSON at every route: whatever comes, it is refused in our words or done whole.

use http::Method;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use crate::harness::{Caller, Cluster, Session, blitz};

/// So many requests a run; the same ones each time.
const REQUESTS: usize = 3_000;

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "sync_mode",
    "per_participant",
    "global",
    "count_up",
    "per_cycle",
    "per_group",
    "participants",
    "participant_id",
    "white",
    "black",
    "total_time_ms",
    "increment_ms",
    "time_control",
    "delay",
    "type",
    "simple",
    "delay_ms",
    "stages",
    "cycles",
    "add_ms",
    "set_ms",
    "overtime",
    "byoyomi",
    "periods",
    "period_ms",
    "hourglass",
    "free_cycles",
    "concurrency",
    "simultaneous",
    "soft_close",
    "window_ms",
    "extension_ms",
    "lag_policy",
    "standard",
    "on_outage",
    "charge",
    "auto_advance",
    "action_on_timeout",
    "continue",
    "advance",
    "warnings_ms",
    "metadata",
    "session_id",
    "groups",
    "group_id",
    "red",
    "at",
    "2026-01-01T00:00:01Z",
    "reason",
    "to_version",
    "expected_version",
    "commands",
    "command",
    "switch",
    "pause",
    "next_participant_id",
    "current_participant_id",
    "client_time_ms",
    "origin_ms",
    "ttl_ms",
    "sub",
    "idempotency_key",
    "max_time_ms",
    "participant_index",
    "time_per_cycle_ms",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..100_000).prop_map(Value::from),
        proptest::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..5)
                .prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Mostly an object, sometimes one that was nearly good.
fn body() -> impl Strategy<Value = Value> {
    let pairs = proptest::collection::vec((word(), json_value()), 0..6);
    let object = pairs.prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>())).boxed();
    let spoiled = object.clone().prop_map(|more| crate::harness::with(blitz(), more));
    prop_oneof![5 => object, 3 => spoiled, 1 => json_value()]
}

const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/sessions"),
    ("POST", "/v1/sessions/batch"),
    ("POST", "{s}/start"),
    ("POST", "{s}/switch"),
    ("POST", "{s}/pause"),
    ("POST", "{s}/resume"),
    ("POST", "{s}/adjust"),
    ("POST", "{s}/extend"),
    ("POST", "{s}/reset"),
    ("POST", "{s}/revert"),
    ("POST", "{s}/clone"),
    ("POST", "{s}/tokens"),
    ("POST", "{s}/participants"),
    ("PATCH", "{s}/participants/white"),
    ("DELETE", "{s}/participants/ghost"),
    ("POST", "/v1/time"),
    ("POST", "/v1/timesync"),
    ("POST", "{s}/cancel"),
    ("POST", "{s}/complete"),
    ("GET", "{s}"),
    ("GET", "{s}/history"),
];

#[tokio::test(flavor = "multi_thread")]
async fn random_json_at_every_route_is_refused_in_our_words_or_done_whole() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"the same row of requests as ever");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let asked = (proptest::sample::select(ROUTES), body());
    let mut session = caller.running(blitz()).await;
    let (mut done, mut refused) = (0, 0);
    for _ in 0..REQUESTS {
        let ((method, path), body) = asked.new_tree(&mut runner).unwrap().current();
        let before = caller.snapshot(&session).await;
        let path = path.replace("{s}", &session.path());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = caller.asking(method.clone(), &path).json(&body).send().await;
        let after = caller.snapshot(&session).await;
        assert!(answer.status < 500, "{method} {path} {body}: {} {}", answer.status, answer.body);
        if answer.status >= 400 {
            refused += 1;
            assert_eq!(after, before, "{method} {path} {body}: refused with {}, and yet", answer.body);
        } else {
            done += 1;
            let written = after["version"].as_u64().unwrap() - before["version"].as_u64().unwrap();
            assert!(written <= 1 || path.ends_with("batch"), "{method} {path} {body}");
        }
        session = fresh_if_ended(&caller, session, &after).await;
    }
    assert!(done > REQUESTS / 20 && refused > REQUESTS / 5, "{done} done, {refused} refused");
}

async fn fresh_if_ended(caller: &Caller, session: Session, present: &Value) -> Session {
    if [json!("completed"), json!("cancelled"), json!("expired")].contains(&present["status"]) {
        return caller.running(blitz()).await;
    }
    session
}

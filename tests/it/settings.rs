//! `/v1/settings`: who may see and change them, what is refused, and where they are in force.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::token::claims;
use crate::harness::{Answer, Authority, Caller, Cluster, blitz, eventually, with};

const PATH: &str = "/v1/settings";

/// A change is in force everywhere within this.
const IN_FORCE: Duration = Duration::from_secs(2);

fn admin(cluster: &Cluster, instance: usize) -> Caller {
    cluster.caller(instance).being(Authority::Admin)
}

async fn patch(caller: &Caller, body: &Value) -> Answer {
    caller.asking(Method::PATCH, PATH).json(body).send().await
}

/// A session that takes more than ten thousand bytes as it is stored.
fn large() -> Value {
    with(blitz(), json!({"metadata": {"note": "n".repeat(6_000)}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_with_type_bounds_and_default() {
    let cluster = Cluster::of(1).start().await;
    let answer = admin(&cluster, 0).get(PATH).await.expect(200);
    assert_eq!((answer.header("etag"), &answer.body["revision"]), ("\"0\"", &json!(0)));
    let settings = &answer.body["settings"];
    let bytes = &settings["max_session_bytes"];
    assert_eq!((&bytes["value"], &bytes["default"]), (&json!(262_144), &json!(262_144)));
    assert_eq!((&bytes["type"], &bytes["least"], &bytes["most"]), (&json!("number"), &json!(4_096), &json!(262_144)));
    assert_eq!((&settings["anomalies"]["value"], &settings["anomalies"]["type"]), (&json!(true), &json!("boolean")));
    let list = &settings["anomaly_exempt_subjects"];
    assert_eq!((&list["value"], &list["type"], &list["most_items"]), (&json!([]), &json!("list"), &json!(100)));
    for (name, setting) in settings.as_object().unwrap() {
        assert!(setting["description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
    }
    let known = admin(&cluster, 0).asking(Method::GET, PATH).header("if-none-match", "\"0\"").send().await;
    assert_eq!(known.expect(304).header("etag"), "\"0\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_of_the_whole_tenant_sees_and_changes_them() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let limited = with(claims("acme", "admin"), json!({"sessions": [session.id]}));
    let callers = [
        (cluster.caller(0).being(Authority::Anonymous), 401),
        (cluster.caller(0).being(Authority::Viewer), 403),
        (cluster.caller(0).being(Authority::Participant("white")), 403),
        (cluster.caller(0), 403),
        (cluster.caller(0).claiming(&limited), 403),
        (admin(&cluster, 0), 200),
    ];
    for (caller, status) in callers {
        caller.get(PATH).await.expect(status);
        patch(&caller, &json!({"anomaly_floor": 100})).await.expect(status);
    }
    let rival = cluster.caller(0).being(Authority::Foreign).get(PATH).await.expect(200);
    assert_eq!(rival.body["settings"]["anomaly_floor"]["value"], 60, "another tenant has its own");
    let open = Cluster::of(1).open().start().await;
    open.caller(0).get(PATH).await.expect(403).refused("forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_merged_and_null_brings_the_default_back() {
    let cluster = Cluster::of(1).start().await;
    let admin = admin(&cluster, 0);
    let value = |answer: &Answer, name: &str| answer.body["settings"][name]["value"].clone();
    let first = patch(&admin, &json!({"max_session_bytes": 5_000, "anomalies": false})).await.expect(200);
    assert_eq!((value(&first, "max_session_bytes"), value(&first, "anomalies")), (json!(5_000), json!(false)));
    let second = patch(&admin, &json!({"anomaly_exempt_subjects": ["robot", "a b/c"]})).await.expect(200);
    assert_eq!(value(&second, "max_session_bytes"), 5_000);
    assert_eq!(value(&second, "anomaly_exempt_subjects"), json!(["robot", "a b/c"]));
    assert_ne!(first.header("etag"), second.header("etag"));
    let third = patch(&admin, &json!({"max_session_bytes": null, "anomaly_exempt_subjects": null})).await.expect(200);
    assert_eq!((value(&third, "max_session_bytes"), value(&third, "anomalies")), (json!(262_144), json!(false)));
    assert_eq!(value(&third, "anomaly_exempt_subjects"), json!([]));
    let nothing = patch(&admin, &json!({})).await.expect(200);
    assert_eq!((nothing.header("etag"), &nothing.body), (third.header("etag"), &third.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_setting_does_not_take_is_told_part_by_part_and_changes_nothing() {
    let cluster = Cluster::of(1).start().await;
    let admin = admin(&cluster, 0);
    for (name, value) in [
        ("max_session_bytes", json!(4_095)),
        ("max_session_bytes", json!(262_145)),
        ("max_session_bytes", json!("5000")),
        ("max_session_bytes", json!(5_000.5)),
        ("anomalies", json!(1)),
        ("anomaly_exempt_subjects", json!("robot")),
        ("anomaly_exempt_subjects", json!(["robot", "robot"])),
        ("anomaly_exempt_subjects", json!([""])),
        ("anomaly_exempt_subjects", json!([7])),
        ("max_sessoin_bytes", json!(5_000)),
        ("MAX_SESSION_BYTES", json!(5_000)),
        ("a/b~c", json!(null)),
    ] {
        let refused = patch(&admin, &json!({"anomaly_floor": 77, name: value})).await.expect(422).refused("invalid");
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
        refused.check_problem();
    }
    let several = patch(&admin, &json!({"anomalies": 1, "unknown": 1, "anomaly_factor": 1})).await.expect(422);
    assert_eq!(several.body["errors"].as_array().map(Vec::len), Some(3), "{}", several.body);
    admin.asking(Method::PATCH, PATH).json(&json!([1])).send().await.expect(422);
    admin.asking(Method::PATCH, PATH).bytes("{\"anomaly_floor\":1,\"anomaly_floor\":2}").send().await.expect(422);
    assert_eq!(admin.get(PATH).await.body["revision"], 0, "nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_tag_guards_a_change_and_a_key_recognises_its_repeat() {
    let cluster = Cluster::of(2).start().await;
    let (one, other) = (admin(&cluster, 0), admin(&cluster, 1));
    let change = async |caller: &Caller, tag: &str, key: &str, floor: i64| {
        let body = json!({"anomaly_floor": floor});
        caller.asking(Method::PATCH, PATH).header("if-match", tag).key(key).json(&body).send().await
    };
    let first = change(&one, "\"0\"", "k", 100).await.expect(200);
    let stale = change(&other, "\"0\"", "l", 200).await.expect(409).refused("stale_version");
    assert!(stale.body["detail"].as_str().unwrap().contains("revision"), "{}", stale.body);
    let repeat = change(&other, "\"0\"", "k", 100).await.expect(200);
    assert_eq!((repeat.header("idempotent-replayed"), &repeat.body), ("true", &first.body));
    assert_eq!(first.header("idempotent-replayed"), "");
    change(&other, "\"0\"", "k", 101).await.expect(422).refused("idempotency_mismatch");
    change(&other, first.header("etag"), "m", 200).await.expect(200);
    change(&other, "*", "n", 300).await.expect(200);
    change(&other, "nonsense", "o", 300).await.expect(422);
    let weak = format!("W/{}", other.get(PATH).await.header("etag"));
    change(&one, &weak, "p", 400).await.expect(200);
    // Another tenant's changes are no news here.
    let tag = one.get(PATH).await.header("etag").to_owned();
    patch(&one.being(Authority::Foreign), &json!({"anomaly_floor": 9})).await.expect(200);
    change(&one, &tag, "q", 500).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_bytes_of_a_session_are_the_tenants_on_every_instance() {
    let cluster = Cluster::of(2).start().await;
    let (caller, other) = (cluster.caller(0), cluster.caller(1));
    let before = caller.create(large()).await;
    patch(&admin(&cluster, 0), &json!({"max_session_bytes": 5_000})).await.expect(200);
    let changed = Instant::now();
    caller.post("/v1/sessions", large()).await.expect(413).refused("too_large");
    eventually("it is in force elsewhere", async || {
        (other.post("/v1/sessions", large()).await.status == 413).then_some(())
    })
    .await;
    assert!(changed.elapsed() < IN_FORCE, "{:?}", changed.elapsed());
    // One that is larger already goes on, and does not grow.
    other.command(&before, "start").await;
    let participant = json!({"participant_id": "red", "total_time_ms": 1_000});
    let refused = other.post(format!("{}/participants", before.path()), participant).await.expect(413);
    assert!(refused.body["detail"].as_str().unwrap().contains("5000"), "{}", refused.body);
    caller.create(blitz()).await;
    caller.being(Authority::Foreign).create(large()).await;
    patch(&admin(&cluster, 1), &json!({"max_session_bytes": null})).await.expect(200);
    eventually("the default is back", async || {
        (caller.post("/v1/sessions", large()).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_changes_with_one_tag_one_is_made() {
    let cluster = Cluster::of(2).start().await;
    let changes = (0..10).map(|number| {
        let caller = admin(&cluster, number % 2);
        async move {
            let body = json!({"anomaly_floor": 100 + number});
            caller.asking(Method::PATCH, PATH).header("if-match", "\"0\"").json(&body).send().await.status
        }
    });
    let mut statuses = futures::future::join_all(changes).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![409; 9]].concat());
}

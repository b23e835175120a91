//! What was: histories, chains, earlier instants, lists.

use serde_json::{Value, json};
use synckairos::domain::chain::{Digest, Link};
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;

use crate::harness::answer::participant;
use crate::harness::{Caller, Cluster, Session, blitz, countdown, eventually, stopwatch, with};

async fn history(caller: &Caller, session: &Session, query: &str) -> Value {
    caller.get(format!("{}/history{query}", session.path())).await.expect(200).body
}

fn changes(history: &Value) -> &[Value] {
    history["changes"].as_array().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_actor_command_time_and_cost() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    cluster.clock().advance_ms(10_000);
    let white = caller.being(crate::harness::Authority::Participant("white"));
    white.command(&session, "switch").await;
    cluster.clock().advance_ms(60_000);
    caller.snapshot(&session).await;
    let history = history(&caller, &session, "").await;
    let told: Vec<_> = changes(&history).iter().map(|each| each["change"]["command"].as_str().unwrap()).collect();
    assert_eq!(told, ["create", "start", "switch", "settle"]);
    let switch = &changes(&history)[2];
    assert_eq!(switch["at"], "2026-01-01T00:00:10.000Z");
    assert_eq!(
        switch["change"]["by"],
        json!({"sub": "a-participant", "role": "participant", "participant_id": "white"})
    );
    assert_eq!(switch["change"]["outcome"]["charged_ms"], 10_000);
    let settle = &changes(&history)[3]["change"];
    assert_eq!((&settle["by"], &settle["expired"][0]["at"]), (&Value::Null, &json!("2026-01-01T00:01:10.000Z")));
    assert_eq!(history["complete_to"], changes(&history)[3]["position"]);
    assert_eq!(history["next_cursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_a_link_that_anyone_can_check() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    for _ in 0..20 {
        cluster.clock().advance_ms(100);
        caller.command(&session, "switch").await;
    }
    let history = history(&caller, &session, "").await;
    let mut previous = Digest::NONE;
    for change in changes(&history) {
        let link = link(change);
        assert_eq!(link.previous, previous, "{change}");
        previous = link.digest();
        assert_eq!(change["link"]["digest"], previous.to_string());
    }
    let tampered = Link { at: Timestamp::from_ms(1), ..link(&changes(&history)[3]) };
    assert_ne!(tampered.digest().to_string(), changes(&history)[3]["link"]["digest"]);
    let versions = cluster.sql("select json_array(version) from session_snapshot order by version").await;
    assert_eq!(versions, (1..=22).map(|version| json!([version])).collect::<Vec<_>>());
}

fn link(change: &Value) -> Link {
    let digest = |name: &str| change["link"][name].as_str().unwrap().parse().unwrap();
    Link {
        position: change["position"].as_str().unwrap().parse::<Position>().unwrap(),
        at: synckairos::wire::instant::parse(change["at"].as_str().unwrap()).unwrap(),
        previous: digest("previous"),
        body: digest("body"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_comes_in_pages() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(stopwatch()).await;
    for _ in 0..23 {
        caller.command(&session, "switch").await;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = history(&caller, &session, &query).await;
        seen.extend(changes(&page).iter().map(|change| change["version"].as_u64().unwrap()));
        pages += 1;
        let last = changes(&page).last().unwrap()["position"].clone();
        assert_eq!(page["complete_to"], last);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=10&cursor={cursor}");
    }
    assert_eq!((pages, seen), (3, (1..=25).collect()));
    let after = history(&caller, &session, &format!("?after={}-20", cluster.now_ms())).await;
    assert_eq!(changes(&after).len(), 5);
    assert_eq!(changes(&history(&caller, &session, &format!("?after={}-25", cluster.now_ms())).await).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_as_it_stood_at_an_instant() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    cluster.clock().advance_ms(5_000);
    caller.command(&session, "start").await;
    cluster.clock().advance_ms(10_000);
    caller.command(&session, "switch").await;
    cluster.clock().advance_ms(65_000);
    caller.snapshot(&session).await;
    let at = |time: &str| caller.get(format!("{}/at?time={time}", session.path()));
    for (time, version, status) in [
        ("2026-01-01T00:00:00Z", 1, "pending"),
        ("2026-01-01T00:00:04.999Z", 1, "pending"),
        ("2026-01-01T00:00:05.000Z", 2, "running"),
        ("2026-01-01T01:00:14.999%2B01:00", 2, "running"),
        ("2026-01-01T00:00:15Z", 3, "running"),
        ("2026-01-01T00:01:14.999Z", 3, "running"),
        // Out at that instant, though it was written five seconds later.
        ("2026-01-01T00:01:15Z", 4, "expired"),
        ("2026-01-01T00:01:20Z", 4, "expired"),
    ] {
        let stood = at(time).await.expect(200);
        assert_eq!((stood.version(), stood.body["status"].as_str().unwrap()), (version, status), "{time}");
    }
    assert_eq!(participant(&at("2026-01-01T00:00:20Z").await.body, "white")["total_time_ms"], 51_000);
    for bad in ["2025-12-31T23:59:59Z", "2026-01-02T00:00:00Z", "yesterday", "", "2026-01-01", "1767225600000"] {
        at(bad).await.expect(422).refused("invalid");
    }
    caller.get(format!("{}/at", session.path())).await.expect(422).refused("invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let named = |id: &str, hall: &str| json!({"session_id": id, "metadata": {"hall": hall, "board": 7}});
    let a = caller.running(with(blitz(), named("a", "north"))).await;
    caller.create(with(countdown(60_000), named("b", "north"))).await;
    cluster.clock().advance_ms(1_000);
    let c = caller.running(with(stopwatch(), named("c", "south"))).await;
    for session in [&a, &c] {
        history(&caller, session, "").await;
    }
    let listed = async |query: &str| {
        let body = caller.get(format!("/v1/sessions{query}")).await.expect(200).body;
        assert_eq!(body["as_of"], "2026-01-01T00:00:01.000Z");
        let sessions = body["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["session_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", vec!["a", "b", "c"]),
        ("?status=running", vec!["a", "c"]),
        ("?status=pending", vec!["b"]),
        ("?status=cancelled", vec![]),
        ("?sync_mode=global", vec!["b"]),
        ("?participant_id=white", vec!["a"]),
        ("?participant_id=nobody", vec![]),
        ("?metadata.hall=north", vec!["a", "b"]),
        ("?metadata.board=7&metadata.hall=south", vec!["c"]),
        ("?metadata.hall=north&status=running", vec!["a"]),
        ("?metadata.hall=%27%20or%201%3D1", vec![]),
        ("?updated_after=2026-01-01T00:00:00.999Z", vec!["c"]),
        ("?updated_after=2026-01-01T00:00:01Z", vec![]),
        ("?cursor=a", vec!["b", "c"]),
    ] {
        assert_eq!(listed(query).await, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_pages() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    for number in 0..25 {
        caller.create(with(stopwatch(), json!({"session_id": format!("s-{number:02}")}))).await;
    }
    // Each partition's entries reach the ledger by themselves.
    let listed = async || caller.get("/v1/sessions").await.expect(200).body["sessions"].as_array().map(Vec::len);
    eventually("the ledger has them all", async || (listed().await == Some(25)).then_some(())).await;
    let (mut seen, mut query) = (Vec::new(), "?limit=10".to_owned());
    loop {
        let page = caller.get(format!("/v1/sessions{query}")).await.expect(200).body;
        seen.extend(page["sessions"].as_array().unwrap().iter().map(|each| each["session_id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=10&cursor={cursor}");
    }
    assert_eq!(seen, (0..25).map(|number| json!(format!("s-{number:02}"))).collect::<Vec<_>>());
}

/// What each change of a history says of itself, without its outcome and its author.
fn said(history: &Value) -> Vec<Value> {
    let said = |change: &Value| {
        let change = &change["change"];
        let parts = ["command", "arguments", "turn", "banks"].into_iter().filter(|part| !change[part].is_null());
        parts.map(|part| (part.to_owned(), change[part].clone())).collect()
    };
    changes(history).iter().map(said).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_names_clocks_amounts_and_turns() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut tap = cluster.tap(&session).await;
    let steps = [
        ("start", json!({"participant_id": "white"})),
        ("switch", json!({"client_time_ms": 1_767_225_601_000_i64})),
        ("adjust", json!({"participant_id": "white", "add_ms": 15_000})),
        ("adjust", json!({"participant_id": "black", "set_ms": 30_000})),
        ("pause", json!({"reason": "a dispute"})),
        ("pause", json!({})),
        ("resume", json!({"reason": "a dispute"})),
        ("resume", json!({})),
        ("revert", json!({"to_version": 3})),
    ];
    for (command, body) in steps {
        cluster.clock().advance_ms(1_000);
        caller.command_with(&session, command, body).await.expect(200);
    }
    let participants = format!("{}/participants", session.path());
    caller.post(&participants, json!({"participant_id": "red", "total_time_ms": 5_000})).await.expect(201);
    let red = format!("{participants}/red");
    let change = json!({"metadata": {"name": "Red"}, "participant_index": 0});
    caller.asking(http::Method::PATCH, &red).json(&change).send().await.expect(200);
    caller.asking(http::Method::DELETE, &red).send().await.expect(200);
    caller.command(&session, "reset").await;
    let history = history(&caller, &session, "").await;
    let expected = [
        json!({"command": "create"}),
        json!({"command": "start", "arguments": {"participant_id": "white"}, "turn": {"from": null, "to": "white"}}),
        json!({
            "command": "switch", "arguments": {"client_time_ms": 1_767_225_601_000_i64},
            "turn": {"from": "white", "to": "black"},
            "banks": [{"participant_id": "white", "charged_ms": 1_000, "given_ms": 1_000}],
        }),
        json!({
            "command": "adjust", "arguments": {"participant_id": "white", "add_ms": 15_000},
            "banks": [{"participant_id": "white", "charged_ms": 0, "given_ms": 15_000}],
        }),
        json!({
            "command": "adjust", "arguments": {"participant_id": "black", "set_ms": 30_000},
            "banks": [{"participant_id": "black", "charged_ms": 2_000, "given_ms": -28_000}],
        }),
        json!({
            "command": "pause", "arguments": {"reason": "a dispute"},
            "banks": [{"participant_id": "black", "charged_ms": 1_000, "given_ms": 0}],
        }),
        json!({"command": "pause", "arguments": {"reason": "requested"}}),
        json!({"command": "resume", "arguments": {"reason": "a dispute"}}),
        json!({"command": "resume"}),
        json!({
            "command": "revert", "arguments": {"to_version": 3},
            "banks": [
                {"participant_id": "white", "charged_ms": 0, "given_ms": -15_000},
                {"participant_id": "black", "charged_ms": -3_000, "given_ms": 28_000},
            ],
        }),
        json!({
            "command": "add_participant", "arguments": {"participant_id": "red", "total_time_ms": 5_000},
            "banks": [{"participant_id": "red", "charged_ms": 0, "given_ms": 5_000}],
        }),
        json!({
            "command": "change_participant",
            "arguments": {"participant_id": "red", "participant_index": 0, "changes_metadata": true},
        }),
        json!({"command": "remove_participant", "arguments": {"participant_id": "red"}}),
        json!({
            "command": "reset", "turn": {"from": "black", "to": null},
            "banks": [{"participant_id": "white", "charged_ms": -1_000, "given_ms": -1_000}],
        }),
    ];
    assert_eq!(said(&history), expected);
    // The frames of the same changes said the same.
    for expected in &expected[1..] {
        let event = &tap.next().await[0]["event"];
        for part in ["command", "arguments", "turn", "banks"] {
            assert_eq!(event[part], expected[part], "{part} in {event}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_tells_groups_and_the_sessions_own_clock_apart() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let groups = json!({
        "sync_mode": "per_group", "increment_ms": 2_000,
        "groups": [{"group_id": "red", "total_time_ms": 60_000}, {"group_id": "blue", "total_time_ms": 60_000}],
        "participants": [{"participant_id": "a", "group_id": "red"}, {"participant_id": "b", "group_id": "blue"}],
    });
    let rows = [
        (groups, "switch", json!([{"group_id": "red", "charged_ms": 1_000, "given_ms": 2_000}])),
        (countdown(60_000), "pause", json!([{"charged_ms": 1_000, "given_ms": 0}])),
        (stopwatch(), "pause", json!([{"charged_ms": 1_000, "given_ms": 0}])),
    ];
    for (body, command, banks) in rows {
        let session = caller.running(body).await;
        cluster.clock().advance_ms(1_000);
        caller.command(&session, command).await;
        let history = history(&caller, &session, "").await;
        assert_eq!(said(&history)[2]["banks"], banks, "{command}");
    }
}

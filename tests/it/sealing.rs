//! Sealed messages: whatever is told of a session can be checked, on every transport, by
//! whatever instance it is told, and a change on the way shows.

use std::time::Duration;

use serde_json::{Value, json};
use synckairos::config::Config;

use crate::harness::events::Events;
use crate::harness::seal::{SEAL_SECRET, SealKeys, seal, with_secret};
use crate::harness::token::{claims, signed};
use crate::harness::watch::{Transport, Watcher, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, eventually, soon, with};

async fn sealed_cluster(instances: usize) -> Cluster {
    let cluster = Cluster::of(instances).with(with_secret).start().await;
    seal(&cluster, true);
    cluster
}

/// A watcher that waits for something else is not sent away for its silence.
fn patient(config: &mut Config) {
    config.timers.ping = Duration::from_mins(1);
    config.timers.pong_wait = Duration::from_mins(1);
}

/// The data of the next event of that type, as it came.
async fn event(events: &mut Events, kind: &str) -> String {
    let coming = async {
        let mut seen = String::new();
        loop {
            let line = events.line().await.expect("the stream goes on");
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut seen);
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| seen == kind) {
                return data.to_owned();
            }
        }
    };
    soon(kind, coming).await
}

/// The next text of that type, as it came.
async fn text(watcher: &mut Watcher, kind: &str) -> String {
    let coming = async {
        loop {
            let text = watcher.next_text().await;
            if text.starts_with(&format!("{{\"type\":\"{kind}\"")) {
                return text;
            }
        }
    };
    soon(kind, coming).await
}

/// The body of a poll, as it came.
async fn poll(caller: &Caller, session: &Session, since: &str) -> String {
    let path = format!("{}/poll?since={since}&timeout_ms=1000", session.path());
    String::from_utf8(caller.get(path).await.expect(200).bytes).unwrap()
}

async fn position(caller: &Caller, session: &Session) -> String {
    let snapshot = caller.snapshot(session).await;
    format!("{}-{}", snapshot["epoch"], snapshot["version"])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_of_every_instance_tells_sealed_frames() {
    let cluster = sealed_cluster(2).await;
    let (writer, reader) = (cluster.caller(0), cluster.caller(1));
    let session = writer.create(blitz()).await;
    let keys = SealKeys::of(&reader, &session).await;
    let mut socket = cluster.watch(1, &session).over(Transport::WebSocket).await;
    let mut local = cluster.watch(0, &session).over(Transport::WebSocket).await;
    let mut events = Events::open(&reader, &format!("{}/events", session.path()), None).await;
    for text in [text(&mut socket, "STATE_SYNC").await, event(&mut events, "STATE_SYNC").await] {
        assert_eq!(keys.checked(&text)["payload"]["version"], 1);
    }
    let since = position(&reader, &session).await;
    writer.command(&session, "start").await;
    let told = text(&mut socket, "STATE_UPDATE").await;
    assert_eq!(keys.checked(&told)["payload"]["version"], 2);
    assert_eq!(event(&mut events, "STATE_UPDATE").await, told, "all share the bytes of the writer");
    text(&mut local, "STATE_SYNC").await;
    assert_eq!(text(&mut local, "STATE_UPDATE").await, told);
    let answer = poll(&reader, &session, &since).await;
    let polled = keys.checked(&answer);
    assert_eq!((&polled["session"]["version"], &polled["timed_out"]), (&json!(2), &json!(false)));
    assert!(answer.contains(&told), "the frame stands in the answer as it was sealed: {answer}");
    assert!(polled["session"].get("hmac").is_none(), "the snapshot is covered by the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_says_by_itself_is_sealed_too() {
    let cluster = sealed_cluster(1).await;
    let caller = cluster.caller(0);
    let session = caller.running(with(blitz(), json!({"warnings_ms": [50_000]}))).await;
    let keys = SealKeys::of(&caller, &session).await;
    let at = position(&caller, &session).await;
    let mut socket = cluster.watch(0, &session).asking(&format!("last={at}")).over(Transport::WebSocket).await;
    let mut events = Events::open(&caller, &format!("{}/events", session.path()), Some(&at)).await;
    let resumed = text(&mut socket, "RECONNECT_ACK").await;
    let of_session = keys.checked(&resumed)["key_id"].clone();
    let beats = [text(&mut socket, "HEARTBEAT").await, event(&mut events, "HEARTBEAT").await];
    assert!(beats.iter().all(|beat| keys.checked(beat)["key_id"] == of_session));
    for (said, answered) in [
        (json!({"type": "PING", "timestamp": 1}), "PONG"),
        (json!({"type": "COMMAND", "id": 1, "command": "switch"}), "ACK"),
        (json!({"type": "COMMAND", "id": 2, "command": "dance"}), "ERROR"),
        (json!({"type": "DANCE"}), "ERROR"),
    ] {
        socket.say(said.clone()).await;
        let frame = keys.checked(&text(&mut socket, answered).await);
        assert!(said["type"] == "DANCE" || frame["key_id"] == of_session, "{frame}");
    }
    cluster.clock().advance_ms(10_000);
    let warnings = [text(&mut socket, "TIME_WARNING").await, event(&mut events, "TIME_WARNING").await];
    assert!(warnings.iter().all(|warning| keys.checked(warning)["key_id"] == of_session));
    // Black's time runs out: one write, and each of its frames has a seal of its own.
    cluster.clock().advance_ms(60_000);
    for kind in ["STATE_UPDATE", "TIME_EXPIRED"] {
        while keys.checked(&text(&mut socket, kind).await)["position"].is_null() {}
    }
    let deleted = caller.asking(http::Method::DELETE, session.path()).send();
    let (gone, _) = tokio::join!(text(&mut socket, "SESSION_DELETED"), deleted);
    keys.checked(&gone);
    keys.checked(&event(&mut events, "CLOSE").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_no_session_is_under_the_tenants_key() {
    let cluster = sealed_cluster(1).await;
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    let mut keys = SealKeys::default();
    keys.add(&caller.get("/v1/seal-key").await.expect(200).body);
    let mut many = Watching::many(caller.clone()).over(Transport::WebSocket).await;
    many.say(json!({"type": "PING", "timestamp": 1})).await;
    keys.checked(&text(&mut many, "PONG").await);
    many.say(json!({"type": "SUBSCRIBE", "id": 1, "session_id": "nowhere"})).await;
    assert_eq!(keys.checked(&text(&mut many, "ERROR").await)["payload"]["code"], "session_not_found");
    keys.checked(&text(&mut many, "HEARTBEAT").await);
    many.say(json!({"type": "SUBSCRIBE", "id": 2, "session_id": session.id})).await;
    let state = text(&mut many, "STATE_SYNC").await;
    assert!(!keys.verify(&state), "a session's frame takes the session's key");
    keys.learn(&caller, &session).await;
    assert_eq!(keys.checked(&state)["session_id"], session.id);
    let mut status = Watching::at(caller.clone(), "/v1/status/ws").over(Transport::WebSocket).await;
    keys.checked(&text(&mut status, "STATUS").await);
    let mut status = Events::open(&caller, "/v1/status/events", None).await;
    keys.checked(&event(&mut status, "STATUS").await);
    let polled = caller.get("/v1/status/poll").await.expect(200).bytes;
    keys.checked(std::str::from_utf8(&polled).unwrap());
    let path = format!("/v1/events?sessions={},nowhere", session.id);
    let mut events = Events::open(&caller, &path, None).await;
    keys.checked(&event(&mut events, "SESSION_NOT_FOUND").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_byte_and_a_cut_tail_are_found() {
    let cluster = sealed_cluster(1).await;
    let caller = cluster.caller(0);
    let (session, other) = (caller.create(blitz()).await, caller.create(blitz()).await);
    let keys = SealKeys::of(&caller, &session).await;
    let mut socket = cluster.watch(0, &session).over(Transport::WebSocket).await;
    let frame = text(&mut socket, "STATE_SYNC").await;
    keys.checked(&frame);
    for place in (0..frame.len()).filter(|place| frame.as_bytes()[*place].is_ascii()) {
        let mut altered = frame.clone().into_bytes();
        altered[place] = if altered[place] == b'0' { b'1' } else { b'0' };
        assert!(!keys.verify(std::str::from_utf8(&altered).unwrap()), "byte {place}");
        assert!(!keys.verify(&frame[..place]), "cut at {place}");
    }
    assert!(!keys.verify(&frame.replace("STATE_SYNC", "STATE_SYNc")));
    assert!(!SealKeys::of(&caller, &other).await.verify(&frame), "the key of another session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_has_a_new_key_and_its_frames_say_so() {
    let cluster = sealed_cluster(2).await;
    let caller = cluster.caller(0);
    let session = caller.create(with(blitz(), json!({"session_id": "again"}))).await;
    let mut keys = SealKeys::of(&caller, &session).await;
    let before = caller.get(format!("{}/seal-key", session.path())).await.body;
    caller.asking(http::Method::DELETE, session.path()).send().await.expect(204);
    cluster.clock().advance_ms(5);
    caller.create(with(blitz(), json!({"session_id": "again"}))).await;
    let mut socket = cluster.watch(1, &session).over(Transport::WebSocket).await;
    let frame = text(&mut socket, "STATE_SYNC").await;
    let told: Value = serde_json::from_str(&frame).unwrap();
    assert!(!keys.verify(&frame) && !keys.has(&told["key_id"]), "the client sees that it lacks a key");
    keys.learn(&cluster.caller(1), &session).await;
    keys.checked(&frame);
    let after = caller.get(format!("{}/seal-key", session.path())).await.body;
    assert!(after["epoch"].as_i64() > before["epoch"].as_i64(), "{before} {after}");
    assert_ne!(after["key"], before["key"]);
    assert_eq!(after["tenant"], before["tenant"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_partial_updates_are_sealed_one_by_one() {
    let cluster = sealed_cluster(2).await;
    let caller = cluster.caller(0);
    let both = json!({
        "sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 60_000,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}],
    });
    let session = caller.running(both).await;
    let keys = SealKeys::of(&caller, &session).await;
    let mut socket = cluster.watch(1, &session).over(Transport::WebSocket).await;
    keys.checked(&text(&mut socket, "STATE_SYNC").await);
    let since = position(&caller, &session).await;
    let adjust = |id: &str| json!({"session_id": session.id, "command": "adjust", "participant_id": id, "add_ms": 5});
    let batch = json!({"commands": [adjust("a"), adjust("b"), adjust("a")]});
    let done = caller.post("/v1/sessions/batch", batch).await.expect(200).body;
    assert!(done["results"].as_array().unwrap().iter().all(|result| result["status"] == 200), "{done}");
    for version in 3..6 {
        let frame = keys.checked(&text(&mut socket, "STATE_UPDATE").await);
        assert_eq!((&frame["partial"], &frame["payload"]["version"]), (&json!(true), &json!(version)));
    }
    // Who polls gets the same frames, with the whole session beside them.
    let polled = keys.checked(&poll(&cluster.caller(1), &session, &since).await);
    assert!(polled["events"].as_array().unwrap().iter().all(|event| keys.has(&event["key_id"])), "{polled}");
    assert_eq!(polled["events"][0]["payload"]["version"], 3);
    assert_eq!(polled["session"]["participants"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_on_under_running_streams_it_holds_from_the_next_frame_on() {
    let cluster = Cluster::of(2).with(with_secret).start().await;
    let (writer, reader) = (cluster.caller(0), cluster.caller(1));
    let session = writer.create(blitz()).await;
    let keys = SealKeys::of(&reader, &session).await;
    let mut socket = cluster.watch(1, &session).over(Transport::WebSocket).await;
    let mut early = cluster.watch(1, &session).over(Transport::WebSocket).await;
    assert!(!keys.verify(&text(&mut socket, "STATE_SYNC").await));
    let since = position(&reader, &session).await;
    writer.command(&session, "start").await;
    let plain = text(&mut socket, "STATE_UPDATE").await;
    assert!(plain.ends_with("}}") && !plain.contains("key_id"), "{plain}");
    assert!(!poll(&reader, &session, &since).await.contains("hmac"));

    seal(&cluster, true);
    writer.command(&session, "switch").await;
    keys.checked(&text(&mut socket, "STATE_UPDATE").await);
    // Who comes now gets what was written before with a seal as well, and so does who resumes.
    let mut late = cluster.watch(1, &session).over(Transport::WebSocket).await;
    keys.checked(&text(&mut late, "STATE_SYNC").await);
    let resuming = cluster.watch(1, &session).asking(&format!("last={since}"));
    let mut resuming = resuming.over(Transport::WebSocket).await;
    keys.checked(&text(&mut resuming, "RECONNECT_ACK").await);
    for version in [2, 3] {
        assert_eq!(keys.checked(&text(&mut resuming, "STATE_UPDATE").await)["payload"]["version"], version);
    }
    let polled = keys.checked(&poll(&reader, &session, &since).await);
    assert_eq!(polled["events"].as_array().unwrap().len(), 2);
    for event in polled["events"].as_array().unwrap() {
        assert!(keys.has(&event["key_id"]), "{event}");
    }
    // The first stream had its first state and update before: what it reads late is not undone.
    text(&mut early, "STATE_SYNC").await;

    seal(&cluster, false);
    writer.command(&session, "switch").await;
    assert!(text(&mut socket, "STATE_UPDATE").await.ends_with("}}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_another_instance_did_not_seal_is_sealed_where_it_is_told() {
    // Settings are in force everywhere within two seconds, and not at once.
    let cluster = Cluster::of(2).with(with_secret).shared().start().await;
    let session = cluster.caller(0).create(blitz()).await;
    let keys = SealKeys::of(&cluster.caller(1), &session).await;
    let tenant = synckairos::domain::id::TenantId::new("acme").unwrap();
    cluster.part(1).switches.seal(&tenant, true);
    let mut behind = cluster.watch(0, &session).over(Transport::WebSocket).await;
    let mut ahead = cluster.watch(1, &session).over(Transport::WebSocket).await;
    keys.checked(&text(&mut ahead, "STATE_SYNC").await);
    cluster.caller(0).command(&session, "start").await;
    keys.checked(&text(&mut ahead, "STATE_UPDATE").await);
    assert!(text(&mut behind, "STATE_UPDATE").await.ends_with("}}"));
    cluster.caller(1).command(&session, "switch").await;
    let (there, here) = (text(&mut behind, "STATE_UPDATE").await, text(&mut ahead, "STATE_UPDATE").await);
    keys.checked(&here);
    assert_eq!(here, there, "a seal that nobody asked for does no harm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_to_whoever_may_read_and_to_nobody_else() {
    let cluster = sealed_cluster(1).await;
    let caller = cluster.caller(0);
    let (session, other) = (caller.create(blitz()).await, caller.create(blitz()).await);
    let path = format!("{}/seal-key", session.path());
    let told = caller.get(&path).await.expect(200).body;
    assert_eq!((&told["sealed"], &told["session_id"]), (&json!(true), &json!(session.id)));
    assert_eq!(caller.being(Authority::Viewer).get(&path).await.expect(200).body, told);
    caller.being(Authority::Anonymous).get(&path).await.expect(401);
    caller.being(Authority::Foreign).get(&path).await.expect(404).refused("session_not_found");
    caller.get("/v1/sessions/nowhere/seal-key").await.expect(404).refused("session_not_found");
    let limited = Authority::Token(signed(&with(claims("acme", "viewer"), json!({"sessions": [other.id]}))));
    caller.being(limited).get(&path).await.expect(404).refused("session_not_found");
    let foreign = caller.being(Authority::Foreign).get("/v1/seal-key").await.expect(200).body;
    assert_eq!(foreign["sealed"], false);
    assert_ne!(foreign["key"], told["tenant"]["key"]);
    // A token is told it at once, and a snapshot is sealed under it.
    let made = caller.post(format!("{}/tokens", session.path()), json!({})).await.expect(201).body;
    assert_eq!(made["seal"], told);
    let mut keys = SealKeys::default();
    keys.add(&made["seal"]);
    let read = caller.get(session.path()).await.expect(200);
    keys.checked(std::str::from_utf8(&read.bytes).unwrap());
    assert!(!format!("{:?}", cluster.parts().sealing).contains(&SEAL_SECRET[..8]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_there_are_no_keys_and_no_byte_changes() {
    let cluster = Cluster::of(1).start().await;
    seal(&cluster, true);
    let caller = cluster.caller(0);
    let session = caller.create(blitz()).await;
    for path in [format!("{}/seal-key", session.path()), "/v1/seal-key".into(), "/v1/signing-key".into()] {
        caller.get(path).await.expect(501).refused("no_signing_key");
    }
    let made = caller.post(format!("{}/tokens", session.path()), json!({})).await.expect(201).body;
    let fields: Vec<_> = made.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["expires_at", "role", "token"]);
    let mut socket = cluster.watch(0, &session).over(Transport::WebSocket).await;
    assert!(text(&mut socket, "STATE_SYNC").await.ends_with("}}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_under_the_key_of_the_epoch_that_a_restoring_began() {
    let mut cluster = Cluster::of(1).kept().in_real_time().with(with_secret).with(patient).start().await;
    seal(&cluster, true);
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let mut keys = SealKeys::of(&caller, &session).await;
    let mut socket = cluster.watch(0, &session).over(Transport::WebSocket).await;
    keys.checked(&text(&mut socket, "STATE_SYNC").await);
    cluster.backends_mut().redis_mut().kill();
    cluster.backends_mut().redis_mut().start_again();
    eventually("a command in a new epoch", async || {
        (caller.command_with(&session, "switch", json!({})).await.status == 200).then_some(())
    })
    .await;
    let unknown = eventually("a frame under another key", async || {
        let text = socket.next_text().await;
        let frame: Value = serde_json::from_str(&text).unwrap();
        (!keys.has(&frame["key_id"])).then_some(text)
    })
    .await;
    keys.learn(&caller, &session).await;
    keys.checked(&unknown);
}

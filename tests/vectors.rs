//! Vectors for authors of clients: sealed messages and signed commands, in `tests/golden/`. The
//! library for JavaScript is held against the same files.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use synckairos::domain::chain::Digest;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::seal::{KeyScope, SealKey, SealSecret};
use synckairos::signature::{SignedContent, SigningKey};
use testkit::golden;

const SECRET: &str = "a secret of the vectors, of more than thirty-two bytes";

fn written(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("it is JSON") + "\n"
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("an id")
}

fn session() -> SessionKey {
    SessionKey { tenant: tenant(), session: SessionId::new("match-7").expect("an id") }
}

/// Frames as they are before they are sealed.
const OBJECTS: [&str; 4] = [
    r#"{"type":"PONG","payload":{"timestamp":1}}"#,
    r#"{"type":"STATE_SYNC","session_id":"match-7","position":"1767225600000-3","payload":{"version":3,"metadata":{"table":"Köln ♔","hmac":"no"}}}"#,
    r#"{"type":"TIME_WARNING","session_id":"match-7","payload":{"at":"2026-01-01T00:00:10.000Z","participant_id":"white","remaining_ms":10000}}"#,
    r#"{"position":"1767225600000-3","timed_out":true,"events":[],"session":null,"next_poll_ms":0}"#,
];

#[test]
fn sealed_messages() {
    let (secret, key, owner) = (SealSecret::new(SECRET.as_bytes()), session(), tenant());
    let scopes = [
        (KeyScope::Tenant(&owner), r#"["seal","acme"]"#),
        (KeyScope::Session(&key, 1_767_225_600_000), r#"["seal","acme","match-7",1767225600000]"#),
        (KeyScope::Session(&key, 1_767_225_600_001), r#"["seal","acme","match-7",1767225600001]"#),
    ];
    let keys = scopes.map(|(scope, info)| (SealKey::of(&secret, scope), info));
    let told = keys.iter().map(|(key, info)| json!({"info": info, "key_id": key.id(), "key": key.text()}));
    let mut messages = Vec::new();
    for (object, (key, _)) in OBJECTS.iter().zip([&keys[0], &keys[1], &keys[1], &keys[1]]) {
        let text = String::from_utf8(key.sealed(object.as_bytes()).to_vec()).expect("text of the vectors");
        messages.push(json!({"key_id": key.id(), "text": text, "valid": true}));
    }
    let good = messages[1]["text"].as_str().expect("text of the vectors").to_owned();
    let plain = OBJECTS[1];
    let seal = &good[plain.len() - 1..];
    let inside = format!("{}{seal}}}", &plain[..plain.len() - 2]);
    for (why, text) in [
        ("a byte was changed", good.replace("\"version\":3", "\"version\":4")),
        ("a space was added", good.replacen(":{", ": {", 1)),
        ("its end was cut off", good[..good.len() - 1].to_owned()),
        ("its seal was cut off", plain.to_owned()),
        ("its key is another one", good.replace(keys[1].0.id(), keys[2].0.id())),
        ("the hmac stands within the payload", inside),
    ] {
        messages.push(json!({"key_id": keys[1].0.id(), "text": text, "valid": false, "why": why}));
    }
    let file = json!({
        "seal_secret": SECRET, "salt": "synckairos/1", "keys": told.collect::<Vec<_>>(), "messages": messages,
    });
    golden::check("sealed-messages.json", &written(&file));
}

fn bearer(maker: Option<&str>, id: Option<&str>) -> Principal {
    Principal {
        tenant: tenant(),
        subject: "white \"1\"".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        expires_at: None,
        provenance: Provenance {
            token_id: id.map(str::to_owned),
            made_by: maker.map(str::to_owned),
            ..Provenance::default()
        },
    }
}

#[test]
fn signed_commands() {
    let secret = SealSecret::new(SECRET.as_bytes());
    let bearers = [
        (bearer(Some("host"), Some("token-1")), r#"["sign","acme","white \"1\"","host","token-1"]"#),
        (bearer(None, None), r#"["sign","acme","white \"1\"",null,null]"#),
    ];
    let keys = bearers.map(|(by, info)| (SigningKey::of(&secret, &by).text(), info));
    let told = keys.iter().map(|(key, info)| json!({"info": info, "signing_key": key})).collect::<Vec<_>>();
    let commands = [
        ("POST", "/v1/sessions/match-7/switch", "{}"),
        ("POST", "/v1/sessions/match-7/pause?trace=1", r#"{"reason":"Tee ☕","expected_version":3}"#),
        ("DELETE", "/v1/sessions/match-7", ""),
        ("COMMAND", "match-7", r#"{"type":"COMMAND","id":1,"command":"switch""#),
    ];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(&keys[0].0).expect("text of the vectors"));
    let signed = commands.iter().zip(1_767_225_600_000_i64..).map(|((method, target, body), at)| {
        let nonce = format!("a-nonce-of-its-own-{}", at % 10);
        let text = SignedContent { method, target, body: Digest::of(body.as_bytes()) }.text(at, &nonce);
        let v1 = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
        json!({
            "signing_key": keys[0].0, "t": at, "nonce": nonce, "method": method, "path": target, "body": body,
            "signed": text, "signature": format!("t={at},nonce={nonce},v1={v1}"),
        })
    });
    let file = json!({
        "seal_secret": SECRET, "salt": "synckairos/1", "keys": told, "commands": signed.collect::<Vec<_>>(),
    });
    golden::check("signed-commands.json", &written(&file));
}

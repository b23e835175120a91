//! Who may do what: roles over every route, tenants apart, limited tokens, bad tokens, open mode.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::harness::cluster::{BEGIN_MS, TENANT};
use crate::harness::token::{SECRET, claims, signed, signed_by};
use crate::harness::{Authority, Caller, Cluster, blitz, eventually, with};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    Anyone,
    Read,
    /// The participant whose cycle it is, and operators.
    Switch,
    Operate,
    Administer,
}

/// Every route of a session that runs, with what it takes, by who may use it.
fn routes() -> Vec<(Method, &'static str, Value, May)> {
    use May::{Administer, Anyone, Operate, Read, Switch};
    vec![
        (Method::GET, "/health", json!({}), Anyone),
        (Method::GET, "/ready", json!({}), Anyone),
        (Method::GET, "/v1/time", json!({}), Anyone),
        (Method::POST, "/v1/time", json!({"origin_ms": 1}), Anyone),
        (Method::POST, "/v1/timesync", json!({"id": 1, "method": "timesync"}), Anyone),
        (Method::GET, "/v1/sessions", json!({}), Read),
        (Method::GET, "/v1/sessions/{id}", json!({}), Read),
        (Method::GET, "/v1/sessions/{id}/history", json!({}), Read),
        (Method::GET, "/v1/sessions/{id}/at?time=2026-01-01T00:00:00Z", json!({}), Read),
        (Method::POST, "/v1/sessions/{id}/switch", json!({}), Switch),
        (Method::POST, "/v1/sessions/{id}/switch", json!({"current_participant_id": "white"}), Switch),
        (Method::POST, "/v1/sessions/{id}/pause", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/pause", json!({"reason": "r"}), Operate),
        (Method::POST, "/v1/sessions/{id}/complete", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/cancel", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/reset", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/adjust", json!({"add_ms": 1}), Operate),
        (Method::POST, "/v1/sessions/{id}/adjust", json!({"participant_id": "white", "add_ms": 1}), Operate),
        (Method::POST, "/v1/sessions/{id}/revert", json!({"to_version": 1}), Operate),
        (Method::POST, "/v1/sessions/{id}/participants", json!({"participant_id": "x", "total_time_ms": 1}), Operate),
        (Method::PATCH, "/v1/sessions/{id}/participants/white", json!({"metadata": {}}), Operate),
        (Method::DELETE, "/v1/sessions/{id}/participants/black", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/clone", json!({}), Operate),
        (Method::POST, "/v1/sessions/{id}/tokens", json!({}), Operate),
        (Method::DELETE, "/v1/sessions/{id}", json!({}), Operate),
        (Method::POST, "/v1/tickets", json!({}), Read),
        (Method::GET, "/v1/settings", json!({}), Administer),
        (Method::PATCH, "/v1/settings", json!({"anomaly_floor": 99}), Administer),
        (Method::GET, "/v1/revocations", json!({}), Administer),
        (Method::POST, "/v1/revocations", json!({"jti": "x"}), Administer),
        (Method::GET, "/v1/security/events", json!({}), Administer),
    ]
}

fn status(may: May, authority: &Authority, is_of_session: bool) -> Option<u16> {
    let rank = match authority {
        Authority::Anonymous => return if may == May::Anyone { None } else { Some(401) },
        Authority::Foreign => return is_of_session.then_some(404),
        Authority::Participant("white") => May::Switch,
        Authority::Viewer | Authority::Participant(_) => May::Read,
        Authority::Operator | Authority::Token(_) => May::Operate,
        Authority::Admin => May::Administer,
    };
    ((may as u8) > (rank as u8)).then_some(403)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_admits_the_roles_of_the_table() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let everyone = [
        Authority::Anonymous,
        Authority::Foreign,
        Authority::Viewer,
        Authority::Participant("black"),
        Authority::Participant("white"),
        Authority::Operator,
        Authority::Admin,
    ];
    for (method, path, body, may) in routes() {
        for authority in &everyone {
            let session = operator.running(blitz()).await;
            let before = operator.snapshot(&session).await;
            let path = path.replace("{id}", &session.id);
            let caller = operator.being(authority.clone());
            let answer = caller.asking(method.clone(), &path).json(&body).send().await;
            match status(may, authority, path.contains(&session.id)) {
                None => assert!(answer.status < 300, "{method} {path} as {authority:?}: {}", answer.body),
                Some(status) => {
                    assert_eq!(answer.status, status, "{method} {path} {body} as {authority:?}: {}", answer.body);
                    assert!(answer.body.get("session").is_none(), "{method} {path} shows {authority:?} the session");
                    assert_eq!(operator.snapshot(&session).await, before, "{method} {path} as {authority:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn making_sessions_is_for_operators_and_within_their_tenant() {
    let cluster = Cluster::of(1).start().await;
    let body = with(blitz(), json!({"session_id": "s"}));
    let create = async |authority| cluster.caller(0).being(authority).post("/v1/sessions", body.clone()).await;
    create(Authority::Anonymous).await.expect(401);
    create(Authority::Viewer).await.expect(403).refused("forbidden");
    create(Authority::Participant("white")).await.expect(403).refused("forbidden");
    create(Authority::Operator).await.expect(201);
    create(Authority::Foreign).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_has_its_own_clock_where_all_run_at_once() {
    let cluster = Cluster::of(1).start().await;
    let exam = json!({
        "sync_mode": "per_participant", "concurrency": "simultaneous", "total_time_ms": 60_000,
        "participants": [{"participant_id": "a"}, {"participant_id": "b"}],
    });
    let session = cluster.caller(0).running(exam).await;
    let a = cluster.caller(0).being(Authority::Participant("a"));
    for command in ["pause", "resume", "complete"] {
        a.command_with(&session, command, json!({"participant_id": "b"})).await.expect(403).refused("forbidden");
        a.command_with(&session, command, json!({})).await.expect(403);
        a.command_with(&session, command, json!({"participant_id": "a"})).await.expect(200);
    }
    a.command_with(&session, "adjust", json!({"participant_id": "a", "add_ms": 1})).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participants_switch_is_its_own_and_never_the_next_ones() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let white = cluster.caller(0).being(Authority::Participant("white"));
    white.command(&session, "switch").await;
    white.command_with(&session, "switch", json!({})).await.expect(403);
    white.command_with(&session, "switch", json!({"current_participant_id": "black"})).await.expect(403);
    let stranger = cluster.caller(0).being(Authority::Participant("stranger"));
    stranger.command_with(&session, "switch", json!({})).await.expect(403);
    let nobody = cluster.caller(0).claiming(&claims(TENANT, "participant"));
    nobody.command_with(&session, "switch", json!({})).await.expect(403);
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_never_see_each_other() {
    let cluster = Cluster::of(2).start().await;
    let (ours, theirs) = (cluster.caller(0), cluster.caller(1).being(Authority::Foreign));
    let body = with(blitz(), json!({"session_id": "same", "metadata": {"secret": "ours"}}));
    ours.post("/v1/sessions", body).await.expect(201);
    let session = crate::harness::Session { id: "same".into() };
    theirs.get(session.path()).await.expect(404).refused("session_not_found");
    assert_eq!(theirs.get("/v1/sessions").await.expect(200).body["sessions"], json!([]));
    // The same name there is another session, with a history of its own.
    theirs.post("/v1/sessions", with(blitz(), json!({"session_id": "same"}))).await.expect(201);
    theirs.command(&session, "start").await;
    assert_eq!(ours.snapshot(&session).await["status"], "pending");
    assert_eq!(theirs.snapshot(&session).await["metadata"], json!({}));
    let theirs = theirs.get(format!("{}/history", session.path())).await.expect(200).body;
    let ours = ours.get(format!("{}/history", session.path())).await.expect(200).body;
    assert_eq!((theirs["changes"].as_array().unwrap().len(), ours["changes"].as_array().unwrap().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_limited_to_sessions() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    for id in ["a", "b", "c"] {
        operator.post("/v1/sessions", with(blitz(), json!({"session_id": id}))).await.expect(201);
    }
    let limited = operator.claiming(&with(claims(TENANT, "operator"), json!({"sessions": ["a", "c", "ghost"]})));
    limited.get("/v1/sessions/a").await.expect(200);
    limited.post("/v1/sessions/c/start", json!({})).await.expect(200);
    for path in ["/v1/sessions/b", "/v1/sessions/b/history", "/v1/sessions/b/at?time=2026-01-01T00:00:00Z"] {
        limited.get(path).await.expect(404).refused("session_not_found");
    }
    for path in ["/v1/sessions/b/start", "/v1/sessions/b/clone", "/v1/sessions/b/tokens", "/v1/sessions/b/participants"]
    {
        limited.post(path, json!({"participant_id": "x"})).await;
        assert_eq!(operator.get("/v1/sessions/b").await.version(), 1, "{path}");
    }
    limited.asking(Method::DELETE, "/v1/sessions/b").send().await.expect(404);
    let batch = json!({"commands": [{"session_id": "b", "command": "start"}]});
    assert_eq!(limited.post("/v1/sessions/batch", batch).await.body["results"][0]["status"], 404);
    // The list is the ledger's, which hears of each session a little later.
    let listed = async |caller: &Caller| {
        let body = caller.get("/v1/sessions").await.expect(200).body;
        body["sessions"].as_array().unwrap().iter().map(|each| each["session_id"].clone()).collect::<Vec<_>>()
    };
    eventually("all three in the list", async || (listed(&operator).await.len() == 3).then_some(())).await;
    assert_eq!(listed(&limited).await, ["a", "c"]);
    let none = operator.claiming(&with(claims(TENANT, "viewer"), json!({"sessions": []})));
    assert_eq!(none.get("/v1/sessions").await.expect(200).body["sessions"], json!([]));
    // It cannot make what it may not see.
    assert!(limited.post("/v1/sessions", with(blitz(), json!({"session_id": "d"}))).await.status >= 403);
    operator.get("/v1/sessions/d").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_proves_nothing() {
    let cluster = Cluster::of(1).start().await;
    let good = claims(TENANT, "admin");
    let changed = |change: Value| signed(&with(good.clone(), change));
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims)
    };
    let token = signed(&good);
    let parts: Vec<_> = token.split('.').collect();
    let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let rows = [
        ("garbage", "garbage".to_owned()),
        ("no parts", "..".to_owned()),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        (
            "of another token",
            format!("{}.{}.{}", parts[0], encode(with(good.clone(), json!({"tenant": "rival"}))), parts[2]),
        ),
        ("alg none", format!("{}.{}.", encode(json!({"alg": "none", "typ": "JWT"})), parts[1])),
        ("alg none, signed", format!("{}.{}.{}", encode(json!({"alg": "none"})), parts[1], parts[2])),
        ("another algorithm", with_algorithm(jsonwebtoken::Algorithm::HS512, &good)),
        ("another key", signed_by("another key, of more than thirty-two bytes", &good)),
        ("no tenant", without("tenant")),
        ("no subject", without("sub")),
        ("no role", without("role")),
        ("no end", without("exp")),
        ("unknown role", changed(json!({"role": "root"}))),
        ("role in capitals", changed(json!({"role": "Admin"}))),
        ("tenant of two", changed(json!({"tenant": "acme/other"}))),
        ("empty subject", changed(json!({"sub": ""}))),
        ("an end in words", changed(json!({"exp": "never"}))),
        ("not yet", changed(json!({"nbf": BEGIN_MS / 1_000 + 1}))),
        ("sessions of no form", changed(json!({"sessions": "all"}))),
        ("too long", "a".repeat(9_000)),
    ];
    for (what, token) in rows {
        let caller = cluster.caller(0).being(Authority::Token(token));
        let answer = caller.get("/v1/sessions").await;
        assert_eq!(
            (answer.status, answer.code(), answer.header("www-authenticate")),
            (401, "unauthenticated", "Bearer"),
            "{what}"
        );
    }
    let past = Authority::Token(changed(json!({"exp": BEGIN_MS / 1_000})));
    cluster.caller(0).being(past).get("/v1/sessions").await.expect(401).refused("token_expired");
}

fn with_algorithm(algorithm: jsonwebtoken::Algorithm, claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_expires_at_its_instant_also_when_cached() {
    let cluster = Cluster::of(2).start().await;
    let exp = BEGIN_MS / 1_000 + 10;
    let caller =
        |instance: usize| cluster.caller(instance).claiming(&with(claims(TENANT, "viewer"), json!({"exp": exp})));
    caller(0).get("/v1/sessions").await.expect(200);
    cluster.clock().advance_ms(9_999);
    caller(0).get("/v1/sessions").await.expect(200);
    cluster.clock().advance_ms(1);
    for instance in [0, 1] {
        caller(instance).get("/v1/sessions").await.expect(401).refused("token_expired");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_authorization_lets_nobody_in() {
    let cluster = Cluster::of(1).start().await;
    let anyone = cluster.caller(0).being(Authority::Anonymous);
    let header = |value: &'static str| anyone.asking(Method::GET, "/v1/sessions").header("authorization", value).send();
    for bad in ["Basic dTpw", "Bearer", "Bearer ", ""] {
        header(bad).await.expect(401).refused("unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_everyone_on_this_machine_is_operator_of_local() {
    let cluster = Cluster::of(1).open().start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    // A token means nothing there, good or bad.
    caller.being(Authority::Foreign).command(&session, "switch").await;
    let history = caller.get(format!("{}/history", session.path())).await.expect(200).body;
    assert_eq!(history["changes"][0]["change"]["by"], json!({"sub": "local", "role": "operator"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_pages_of_other_origins_are_kept_out() {
    let cluster = Cluster::of(1).open().start().await;
    let caller = cluster.caller(0);
    let port = caller.address().port();
    let from = async |host: &str, origin: Option<&str>| status_from(&caller, host, origin).await;
    for (host, origin) in [
        (format!("127.0.0.1:{port}"), None),
        (format!("localhost:{port}"), None),
        (format!("localhost:{port}"), Some(format!("http://localhost:{port}"))),
        (format!("[::1]:{port}"), Some(format!("http://[::1]:{port}"))),
    ] {
        assert_eq!(from(&host, origin.as_deref()).await, 201, "{host} {origin:?}");
    }
    for (host, origin) in [
        (format!("127.0.0.1:{port}"), Some("https://evil.example")),
        (format!("127.0.0.1:{port}"), Some("null")),
        (format!("127.0.0.1:{port}"), Some("http://127.0.0.1:1")),
        (format!("evil.example:{port}"), None),
        (format!("evil.example:{port}"), Some("http://evil.example")),
        ("localhost.evil.example".to_owned(), None),
    ] {
        assert_eq!(from(&host, origin).await, 403, "{host} {origin:?}");
    }
    // With a key the token decides, wherever the page is from.
    let keyed = Cluster::of(1).start().await;
    assert_eq!(status_from(&keyed.caller(0), "evil.example", Some("https://evil.example")).await, 201);
}

async fn status_from(caller: &Caller, host: &str, origin: Option<&str>) -> u16 {
    let asking = caller.asking(Method::POST, "/v1/sessions").header("host", host).json(&blitz());
    let asking = match origin {
        Some(origin) => asking.header("origin", origin),
        None => asking,
    };
    asking.send().await.status
}

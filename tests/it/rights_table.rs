//! The table of rights, walked: every route and every command, as every role, tenant and limited token.

use http::Method;
use serde_json::{Value, json};
use synckairos::domain::access::COMMANDS;
use synckairos::domain::principal::Role;
use synckairos::http::routes::{Endpoint, ROOT, Right, Route, Scope, StreamEndpoint, V1};

use crate::harness::cluster::TENANT;
use crate::harness::token::claims;
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Authority, Caller, Cluster, Session, blitz, with};

/// Who walks, as what the table knows of it.
struct Walker {
    name: &'static str,
    caller: Caller,
    /// `None` without a token.
    role: Option<Role>,
    /// Whether its token opens the session.
    sees: bool,
}

fn walkers(operator: &Caller) -> Vec<Walker> {
    let limited = |role: &str, limit: Value| operator.claiming(&with(claims(TENANT, role), limit));
    let walker = |name, caller, role, sees| Walker { name, caller, role, sees };
    let being = |authority| operator.being(authority);
    vec![
        walker("nobody", being(Authority::Anonymous), None, false),
        walker("a viewer", being(Authority::Viewer), Some(Role::Viewer), true),
        walker("a participant", being(Authority::Participant("white")), Some(Role::Participant), true),
        walker("an operator", operator.clone(), Some(Role::Operator), true),
        walker("an admin", being(Authority::Admin), Some(Role::Admin), true),
        walker("another tenant's admin", being(Authority::Foreign), Some(Role::Admin), false),
        walker("a viewer of others", limited("viewer", json!({"sessions": ["x"]})), Some(Role::Viewer), false),
        walker("an operator of others", limited("operator", json!({"sessions": ["x"]})), Some(Role::Operator), false),
        walker("an operator of none", limited("operator", json!({"sessions": []})), Some(Role::Operator), false),
        walker("an operator in a place", limited("operator", json!({"locations": ["l"]})), Some(Role::Operator), true),
    ]
}

/// One request of a route, with what it takes.
struct Step {
    route: &'static Route,
    path: String,
    body: Value,
    least: Option<Role>,
}

fn steps() -> Vec<Step> {
    V1.iter().flat_map(steps_of).collect()
}

fn steps_of(route: &'static Route) -> Vec<Step> {
    let step = |path: String, body, least| Step { route, path: format!("/v1{path}"), body, least };
    let path = route.path.replace("{participant_id}", "black");
    match route.right {
        Right::Anyone => vec![step(path, json!({"origin_ms": 1}), None)],
        Right::Least(role) => vec![step(path + query(route.endpoint), body(route.endpoint), Some(role))],
        Right::CommandInPath => {
            let in_path = COMMANDS.iter().filter(|command| !command.name.contains('_'));
            let in_path = in_path.filter(|command| !["clone", "delete"].contains(&command.name));
            let step = |name: &str, least| step(path.replace("{command}", name), command_body(name), Some(least));
            in_path.map(|command| step(command.name, command.least_role)).collect()
        }
    }
}

fn query(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::At => "?time=2026-01-01T00:00:00Z",
        Endpoint::Stream(StreamEndpoint::EventsOfMany) => "?sessions={id}",
        _ => "",
    }
}

fn body(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::CreateSession => blitz(),
        Endpoint::AddParticipant => json!({"participant_id": "red", "total_time_ms": 1}),
        Endpoint::Batch => json!({"commands": []}),
        _ => json!({}),
    }
}

fn command_body(name: &str) -> Value {
    match name {
        "adjust" => json!({"add_ms": 1}),
        "revert" => json!({"to_version": 1}),
        _ => json!({}),
    }
}

impl Step {
    async fn status(&self, by: &Caller, session: &Session) -> u16 {
        let path = self.path.replace("{id}", &session.id);
        let asking = by.asking(Method::from_bytes(self.route.method.as_bytes()).unwrap(), path);
        let asking = if self.route.method == "GET" { asking } else { asking.json(&self.body) };
        asking.begin().await.status().as_u16()
    }

    /// What the table says; `None` lets it in.
    fn refusal(&self, walker: &Walker) -> Option<u16> {
        let least = self.least?;
        match walker.role {
            None => Some(401),
            Some(role) if role < least => Some(403),
            Some(_) if self.route.scope == Scope::Session && !walker.sees => Some(404),
            Some(_) => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_lets_in_whom_it_says_and_nobody_else() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    for walker in walkers(&operator) {
        for step in steps() {
            let session = operator.running(blitz()).await;
            let status = step.status(&walker.caller, &session).await;
            let what = format!("{} {} as {}", step.route.method, step.path, walker.name);
            match step.refusal(&walker) {
                Some(expected) => {
                    // Without an upgrade nothing is looked up; that it takes one is no secret.
                    let is_socket = step.route.endpoint == Endpoint::Stream(StreamEndpoint::SocketOfSession);
                    let expected = if is_socket && expected == 404 && status == 400 { 400 } else { expected };
                    assert_eq!(status, expected, "{what}");
                    assert_eq!(operator.get(session.path()).await.expect(200).version(), 2, "{what}");
                }
                // It may do that, though not with what it cannot see.
                None if !walker.sees => assert!(![401, 405].contains(&status), "{what}"),
                // There is no revocation of that name.
                None if step.route.endpoint == Endpoint::RemoveRevocation => assert_eq!(status, 404, "{what}"),
                // What a participant may do depends on the session as well.
                None if walker.role == Some(Role::Participant) => assert!(![401, 404, 405].contains(&status), "{what}"),
                None => assert!(![401, 403, 404, 405].contains(&status) && status < 500, "{what}: {status}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_from_the_root_on_are_open_to_anybody() {
    let cluster = Cluster::of(1).start().await;
    let nobody = cluster.caller(0).being(Authority::Anonymous);
    for route in ROOT {
        nobody.get(route.path).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_closed_to_lesser_roles_in_a_batch_and_on_a_socket() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let session = operator.running(blitz()).await;
    for (authority, role) in [(Authority::Viewer, Role::Viewer), (Authority::Participant("black"), Role::Participant)] {
        let caller = operator.being(authority);
        let mut socket = Watching::of(caller.clone(), &session).over(Transport::WebSocket).await;
        for command in COMMANDS.iter().filter(|command| role < command.least_role) {
            let command = json!({"session_id": session.id, "command": command.name, "participant_id": "red"});
            let batch = caller.post("/v1/sessions/batch", json!({"commands": [command]})).await.expect(200).body;
            assert_eq!(batch["results"][0]["problem"]["code"], "forbidden", "{command} as {role:?}: {batch}");
            let answer = socket.ask(with(command.clone(), json!({"type": "COMMAND"}))).await;
            assert_eq!(answer["payload"]["code"], "forbidden", "{command} as {role:?}: {answer}");
        }
    }
    assert_eq!(operator.get(session.path()).await.version(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_token_opens_no_more_than_its_makers() {
    let cluster = Cluster::of(1).start().await;
    let operator = cluster.caller(0);
    let (session, other) = (operator.running(blitz()).await, operator.running(blitz()).await);
    let limit = json!({"sessions": [session.id], "locations": ["hall", "yard"]});
    let maker = operator.claiming(&with(claims(TENANT, "operator"), limit));
    maker.post(format!("{}/tokens", other.path()), json!({})).await.expect(404).refused("session_not_found");
    for (asked, role) in [(json!({}), "viewer"), (json!({"participant_id": "white"}), "participant")] {
        let made = maker.post(format!("{}/tokens", session.path()), asked).await.expect(201).body;
        let payload = made["token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let claims: Value = serde_json::from_slice(&decoded(&payload)).unwrap();
        assert_eq!(claims["role"], role);
        assert_eq!(claims["sessions"], json!([session.id]));
        assert_eq!(claims["locations"], json!(["hall", "yard"]));
    }
    for more in [json!({"role": "operator"}), json!({"sessions": [other.id]}), json!({"locations": ["roof"]})] {
        maker.post(format!("{}/tokens", session.path()), more).await.expect(422).refused("invalid");
    }
}

fn decoded(payload: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_its_role_its_participant_and_its_limits() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let base = with(claims(TENANT, "participant"), json!({"sub": "s", "participant_id": "white", "locations": ["l"]}));
    let caller = cluster.caller(0).claiming(&base);
    let open = || Watching::of(caller.clone(), &session).over(Transport::WebSocket);
    let auth = |change: Value| {
        let token = crate::harness::token::signed(&with(base.clone(), change));
        json!({"type": "AUTH", "token": token})
    };
    let mut same = open().await;
    for fine in [json!({"exp": 4_000_000_000_i64}), json!({"sessions": [session.id]}), json!({"locations": []})] {
        // Each narrows what the one before left.
        let narrowed = with(json!({"sessions": [session.id], "locations": []}), fine);
        assert_eq!(same.ask(auth(narrowed)).await["type"], "ACK");
    }
    for other in [
        json!({"role": "operator"}),
        json!({"role": "viewer"}),
        json!({"participant_id": "black"}),
        json!({"participant_id": null}),
        json!({"locations": ["l", "m"]}),
        json!({"locations": null}),
    ] {
        let mut stream = open().await;
        stream.say(auth(other.clone())).await;
        assert_eq!(stream.until_closed().await, 4500, "{other}");
    }
}

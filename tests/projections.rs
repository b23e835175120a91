//! What clients that read clocks by themselves must come to: `tests/golden/projections.json`.
//!
//! A client holds a snapshot and reckons on its own until the next one comes. So each snapshot
//! that the conformance vectors pass through stands in that file with what every clock shows at
//! instants around it and around its edges, by the engine. `sdk/test/conformance.test.js` reads it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use synckairos::domain::id::SessionId;
use synckairos::domain::session::command::Command;
use synckairos::domain::session::control::Action;
use synckairos::domain::session::event::Step;
use synckairos::domain::session::{Owner, Session};
use synckairos::domain::time::Timestamp;
use synckairos::wire::command::{self, CommandInput};
use synckairos::wire::create::CreateBody;
use synckairos::wire::snapshot::Snapshot;
use testkit::golden;

/// Looked at this long after a snapshot, whatever its edges are.
const AFTER_MS: &[i64] = &[0, 1, 777, 61_234];

/// More edges than these of one snapshot tell nothing new.
const MAX_EDGES: usize = 3;

/// What no clock is read from.
const NOT_READ: &[&str] = &[
    "session_id",
    "epoch",
    "metadata",
    "created_at",
    "started_at",
    "updated_at",
    "as_of",
    "participant_index",
    "lag_policy",
    "lag_quota_ms",
    "on_outage",
    "warnings_ms",
    "edges",
    "version",
];

#[test]
fn the_golden_file_is_what_the_engine_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    golden::check("projections.json", &projections(&root.join("tests/conformance")));
}

fn projections(folder: &Path) -> String {
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the vectors").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for path in paths {
        let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("vectors");
        for vector in vectors.iter().filter(|vector| vector.get("create_refused").is_none()) {
            for session in versions(vector) {
                let (snapshot, shown) = (trimmed(&session), shown(&session));
                if seen.insert(format!("{snapshot}{shown}")) {
                    lines.push(json!({"vector": vector["name"], "snapshot": snapshot, "shown": shown}).to_string());
                }
            }
        }
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// Every version a vector passes through, as far as commands alone lead.
fn versions(vector: &Value) -> Vec<Session> {
    let body: CreateBody = command::parsed(object(&vector["create"])).expect("a create");
    let id = SessionId::new("vector").expect("an id");
    let created = Session::create(body.into_new(id).expect("a mode"), Timestamp::from_ms(0)).expect("a session");
    let mut versions = vec![created.session];
    for step in vector["steps"].as_array().expect("steps") {
        let now = Timestamp::from_ms(step["at_ms"].as_i64().expect("an instant"));
        if let Some(name) = step["command"].as_str() {
            let Ok((input, _)) = command::read(name, object(&step["body"])) else { break };
            let CommandInput::Command(command) = input else { break };
            obey(&mut versions, &command, now);
        }
        let newest = &versions[versions.len() - 1];
        if newest.is_due(now) {
            versions.push(newest.settled(now).session);
        }
    }
    versions
}

fn obey(versions: &mut Vec<Session>, command: &Command, now: Timestamp) {
    loop {
        match versions[versions.len() - 1].next(command, now) {
            Step::Refused(_) => return,
            Step::Done(change) => return versions.push(change.session),
            Step::Due(change, refused) => {
                versions.push(change.session);
                if refused.is_some() {
                    return;
                }
            }
        }
    }
}

/// `[[at_ms, {clock: ms, ...}], ...]`.
fn shown(session: &Session) -> Value {
    let instants = instants(session).into_iter();
    Value::Array(instants.map(|at| json!([at.as_ms(), clocks(&session.settled_if_due(at), at)])).collect())
}

/// Right after the version, a little later, and around everything that is to come. Where the turn
/// is handed on by itself only up to there: who comes next, the next snapshot says.
fn instants(session: &Session) -> Vec<Timestamp> {
    let from = session.updated_at;
    let edges = session.edges();
    let around = edges.iter().take(MAX_EDGES).chain(edges.last()).flat_map(|edge| [-1, 0, 1].map(|ms| edge.at + ms));
    let mut instants: Vec<_> = AFTER_MS.iter().map(|ms| from + *ms).chain(around).filter(|at| *at >= from).collect();
    if session.rules.action() == Action::Advance {
        let end = session.deadline();
        instants.retain(|at| end.is_none_or(|end| *at < end));
    }
    instants.sort();
    instants.dedup();
    instants
}

trait SettledIfDue {
    fn settled_if_due(&self, at: Timestamp) -> Session;
}

impl SettledIfDue for Session {
    fn settled_if_due(&self, at: Timestamp) -> Session {
        if self.is_due(at) { self.settled(at).session } else { self.clone() }
    }
}

fn clocks(session: &Session, at: Timestamp) -> Value {
    let own = [("session".to_owned(), Owner::Session)].into_iter();
    let participants = session.participants.iter().zip(0..);
    let participants = participants.map(|(one, seat)| (one.participant_id.to_string(), Owner::Participant(seat)));
    let groups = session.groups.iter().zip(0..).map(|(one, place)| (one.group_id.to_string(), Owner::Group(place)));
    let all = own.chain(participants).chain(groups);
    all.filter_map(|(id, owner)| Some((id, json!(session.remaining(owner, at)?)))).collect::<Map<_, _>>().into()
}

/// A snapshot without what no clock is read from, and without what says nothing.
fn trimmed(session: &Session) -> Value {
    let mut snapshot = json!(Snapshot::of(session, session.updated_at));
    trim(&mut snapshot);
    snapshot
}

fn trim(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !NOT_READ.contains(&name.as_str()) && says_something(name, field));
            fields.values_mut().for_each(trim);
        }
        Value::Array(items) => items.iter_mut().for_each(trim),
        _ => {}
    }
}

fn says_something(name: &str, field: &Value) -> bool {
    match field {
        Value::Null | Value::Bool(false) => false,
        // An empty bank is another thing than none.
        Value::Number(number) => name == "total_time_ms" || number.as_i64() != Some(0),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty() && *field != json!({"type": "main"}),
        Value::String(text) => text != "exclusive",
        Value::Bool(true) => true,
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

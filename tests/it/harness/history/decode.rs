//! From what the service says to what is written down of it.

use serde_json::{Map, Value};
use synckairos::domain::chain::Digest;
use synckairos::domain::position::Position;
use synckairos::domain::time::Timestamp;

use super::{Answer, Final, FrameRecord, ShownSession};

/// What depends on when a snapshot was taken, or was added to it.
const BESIDE: &[&str] = &["as_of", "edges", "outcome", "position", "replayed"];

/// What a snapshot says, short: two of one version say the same, whenever they were taken.
pub fn content(snapshot: &Value) -> String {
    let mut text = String::new();
    write(snapshot, &mut text);
    Digest::of(text.as_bytes()).to_string()[..16].to_owned()
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(name, _)| !BESIDE.contains(&name.as_str())).collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                text.push_str(name);
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(all) => {
            for each in all {
                write(each, text);
            }
            text.push(']');
        }
        other => {
            text.push_str(&other.to_string());
            text.push(',');
        }
    }
}

/// Where a snapshot stands.
fn position_of(snapshot: &Value) -> Option<Position> {
    Some(Position { epoch: snapshot["epoch"].as_i64()?, version: snapshot["version"].as_u64()? })
}

impl ShownSession {
    pub fn of(snapshot: &Value) -> Option<Self> {
        let reasons = snapshot["pause_reasons"].as_array().into_iter().flatten();
        let reasons = reasons.filter_map(|reason| reason.as_str().map(str::to_owned)).collect();
        Some(Self { position: position_of(snapshot)?, content: content(snapshot), reasons })
    }
}

impl Answer {
    /// Of a response: its status, its body, and whether it says that it is a replay.
    pub fn of(status: u16, body: &Value, is_replay: bool) -> Self {
        let code = || body["code"].as_str().unwrap_or_default().to_owned();
        match status {
            200 | 201 => Self::done(body, is_replay),
            503 if code() == "outcome_unknown" || code().is_empty() => Self::Unknown,
            503 => Self::Unavailable(code()),
            400..=499 if !code().is_empty() => {
                Self::Refused { code: code(), shown: ShownSession::of(&body["session"]) }
            }
            _ => Self::Unknown,
        }
    }

    /// Of an `ACK` or `ERROR` payload.
    pub fn of_frame(kind: &str, payload: &Value, is_replay: bool) -> Self {
        let status = if kind == "ACK" { 200 } else { payload["status"].as_u64().unwrap_or(503) };
        Self::of(u16::try_from(status).unwrap_or(503), payload, is_replay)
    }

    fn done(body: &Value, is_replay: bool) -> Self {
        let made = body["position"].as_str().and_then(|position| position.parse().ok());
        match (made, ShownSession::of(body)) {
            (Some(made), shown) if body.get("outcome").is_some() => Self::Applied { made, shown, is_replay },
            (_, Some(shown)) => Self::Looked(shown),
            _ => Self::Unknown,
        }
    }

    /// The snapshot that came with it.
    pub fn shown(&self) -> Option<&ShownSession> {
        match self {
            Self::Applied { shown, .. } | Self::Refused { shown, .. } => shown.as_ref(),
            Self::Looked(shown) => Some(shown),
            Self::Unavailable(_) | Self::Unknown => None,
        }
    }
}

impl FrameRecord {
    /// Of a frame as it came; the recorder says when.
    pub fn of(client: &str, transport: &'static str, instance: usize, session: &str, frame: &Value) -> Self {
        let (kind, payload) = (frame["type"].as_str().unwrap_or_default().to_owned(), &frame["payload"]);
        let position = frame["position"].as_str().and_then(|position| position.parse().ok());
        let is_whole = kind.starts_with("STATE_") && frame["partial"] != true;
        let is_told = is_whole || kind == "TIME_EXPIRED";
        let expired_at = payload["expired_at"].as_str().and_then(synckairos::wire::instant::parse);
        Self {
            client: client.to_owned(),
            transport,
            instance,
            session: session.to_owned(),
            position,
            content: is_told.then(|| content(payload)),
            expired_at_ms: expired_at.map(Timestamp::as_ms),
            kind,
            at_us: 0,
        }
    }

    /// A connection was opened, and what comes after `last` is asked for.
    pub fn opened(
        client: &str,
        transport: &'static str,
        instance: usize,
        session: &str,
        last: Option<Position>,
    ) -> Self {
        let frame = Map::from_iter([("type".to_owned(), "OPENED".into())]);
        Self { position: last, ..Self::of(client, transport, instance, session, &frame.into()) }
    }
}

impl Final {
    /// Of a snapshot that was read when all was over.
    pub fn of(session: &str, snapshot: &Value, at_us: i64) -> Option<Self> {
        let deadline = snapshot["deadline_at"].as_str().and_then(synckairos::wire::instant::parse);
        Some(Self {
            session: session.to_owned(),
            shown: ShownSession::of(snapshot)?,
            status: snapshot["status"].as_str()?.to_owned(),
            deadline_ms: deadline.map(Timestamp::as_ms),
            at_us,
        })
    }
}

//! Sessions under load: created, started, and known by their position.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::net::http::Http;
use crate::net::response::Response;
use crate::position::Position;
use crate::target::Target;

/// Sessions created at a time.
const MAX_CONCURRENT_CREATES: usize = 16;

/// A day: no time runs out while commands are measured.
pub const LONG_BANK_MS: u64 = 86_400_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    pub id: String,
    /// Where it stood once it was started.
    pub position: Position,
}

/// Makes and starts `count` sessions of two participants. `bank_ms` says how long the first one's time lasts.
pub async fn make(target: &Target, count: usize, bank_ms: impl Fn(usize) -> u64) -> Result<Vec<Session>, Failure> {
    let mut connections = JoinSet::new();
    for connection in 0..MAX_CONCURRENT_CREATES.min(count) {
        let banks = (connection..count).step_by(MAX_CONCURRENT_CREATES).map(|nth| (nth, bank_ms(nth))).collect();
        connections.spawn(make_some(target.clone(), connection, banks));
    }
    let mut made = Vec::with_capacity(count);
    while let Some(connection) = connections.join_next().await {
        made.extend(connection.map_err(std::io::Error::other)??);
    }
    made.sort_unstable_by_key(|(nth, _)| *nth);
    Ok(made.into_iter().map(|(_, session)| session).collect())
}

async fn make_some(
    target: Target,
    connection: usize,
    banks: Vec<(usize, u64)>,
) -> Result<Vec<(usize, Session)>, Failure> {
    let mut http = Http::new(target.instance(connection), None);
    let mut made = Vec::with_capacity(banks.len());
    for (nth, bank_ms) in banks {
        made.push((nth, make_one(&target, &mut http, bank_ms).await?));
    }
    Ok(made)
}

async fn make_one(target: &Target, http: &mut Http, bank_ms: u64) -> Result<Session, Failure> {
    let body = json!({
        "sync_mode": "per_participant",
        "participants": [
            {"participant_id": "white", "total_time_ms": bank_ms},
            {"participant_id": "black", "total_time_ms": LONG_BANK_MS},
        ],
    });
    let (response, _) = http.call(&target.request("POST", "/v1/sessions", &body.to_string())).await?;
    let id = id_of(response).ok_or_else(|| Failure::Deployment(refusal(response)))?;
    let (response, _) = http.call(&target.command(&id, "start")).await?;
    let started = Position::of_answer(response.body()).filter(|_| response.status() == 200);
    let position = started.ok_or_else(|| Failure::Deployment(refusal(response)))?;
    Ok(Session { id, position })
}

fn id_of(created: &Response) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(created.body()).ok()?;
    body.get("session_id")?.as_str().filter(|_| created.status() == 201).map(str::to_owned)
}

/// A refusal in a word or two: its status and code.
pub fn refusal(response: &Response) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    let code = problem.as_ref().and_then(|problem| problem.get("code")?.as_str()).unwrap_or("without a code");
    format!("{} {code}", response.status())
}

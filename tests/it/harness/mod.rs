//! What every test stands on: clusters, callers, answers.
//!
//! A cluster is the real service behind real sockets, started through the door that
//! `main` uses; only its clock may stand still. Dropping one fails if something
//! is left over: see [`cluster`].

pub mod answer;
pub mod backends;
pub mod bus_tap;
pub mod caller;
pub mod checker;
pub mod cluster;
pub mod events;
pub mod follow;
pub mod history;
pub mod process;
pub mod raw;
pub mod rng;
pub mod seal;
pub mod sql;
pub mod token;
pub mod watch;
pub mod writers;

use std::time::Duration;

use serde_json::{Value, json};

pub use answer::Answer;
pub use caller::{Authority, Caller};
pub use cluster::Cluster;

/// Nothing a test waits for takes longer.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A session by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
}

impl Session {
    pub fn path(&self) -> String {
        format!("/v1/sessions/{}", self.id)
    }
}

/// White and black, a minute each and a second for every cycle.
pub fn blitz() -> Value {
    json!({
        "sync_mode": "per_participant",
        "increment_ms": 1_000,
        "participants": [
            {"participant_id": "white", "total_time_ms": 60_000},
            {"participant_id": "black", "total_time_ms": 60_000},
        ],
    })
}

/// One clock that counts down from `ms`.
pub fn countdown(ms: i64) -> Value {
    json!({"sync_mode": "global", "total_time_ms": ms})
}

/// One clock that counts up.
pub fn stopwatch() -> Value {
    json!({"sync_mode": "count_up"})
}

/// `base` with the fields of `more` in place of its own.
pub fn with(base: Value, more: Value) -> Value {
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("both are objects") };
    base.extend(more);
    Value::Object(base)
}

/// Asks until `answer` gives something, for no longer than [`WAIT_TIMEOUT`].
pub async fn eventually<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut every = tokio::time::interval(Duration::from_millis(5));
        loop {
            every.tick().await;
            if let Some(found) = answer().await {
                return found;
            }
        }
    };
    let Ok(found) = tokio::time::timeout(WAIT_TIMEOUT, asking).await else {
        panic!("{what}: not within {WAIT_TIMEOUT:?}")
    };
    found
}

/// What `future` gives, if it gives it soon.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(found) = tokio::time::timeout(WAIT_TIMEOUT, future).await else {
        panic!("{what}: not within {WAIT_TIMEOUT:?}")
    };
    found
}

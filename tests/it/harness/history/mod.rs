//! What clients asked and were told, with times, and what was left in the end: all that
//! is needed to judge a service by, and nothing of how it came about.
//!
//! Times are microseconds since the recording began, by whatever clock the
//! [`Recorder`] was given. Idempotency keys are taken to be one client's each.

mod decode;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use synckairos::domain::position::Position;
use synckairos::domain::session::restore::Outage;
use synckairos::ledger::Row;
use tokio::time::Instant;

pub use decode::content;

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub calls: Vec<Call>,
    pub seen: Vec<FrameRecord>,
    /// Where each client stood at the end, on each session it watched.
    pub ends: Vec<End>,
    /// What the store held at the end.
    pub finals: Vec<Final>,
    /// What the ledger held at the end, of all sessions.
    pub rows: Vec<Row>,
    /// What the ledger says of times in which nobody was there.
    pub absences: Vec<Outage>,
    /// Cluster time, in microseconds, when the recording began, if it was asked for.
    pub began_us: Option<i64>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Invocation {
    /// As in a `COMMAND` frame; `look` for a read, `create` for a create.
    pub command: String,
    /// What it came with, as in a request's body.
    pub body: Map<String, Value>,
    pub key: Option<String>,
    pub expected: Option<Position>,
}

/// One question and its answer.
#[derive(Debug, Clone)]
pub struct Call {
    pub client: String,
    pub instance: usize,
    pub session: String,
    pub asked: Invocation,
    pub invoked_us: i64,
    pub returned_us: i64,
    pub answer: Answer,
}

/// A snapshot that was shown: where it stands, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSession {
    pub position: Position,
    /// See [`content`].
    pub content: String,
    /// Why it stands still, if it does.
    pub reasons: Vec<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Done: the position it made, by this call or (a replay) by one before with its key.
    Applied { made: Position, shown: Option<ShownSession>, is_replay: bool },
    /// A read.
    Looked(ShownSession),
    /// Not done, and why: rules, conflicts, rights.
    Refused { code: String, shown: Option<ShownSession> },
    /// Not done, as the service says, because something is away.
    Unavailable(String),
    /// Nobody can say.
    Unknown,
}

/// A frame, or that a connection was opened (`OPENED`, from that position on).
#[derive(Debug, Clone)]
pub struct FrameRecord {
    pub client: String,
    pub transport: &'static str,
    pub instance: usize,
    pub session: String,
    pub kind: String,
    pub position: Option<Position>,
    /// Of a whole snapshot, see [`content`]; of a `TIME_EXPIRED`, all of its payload.
    pub content: Option<String>,
    /// When, in cluster time, a clock ran out.
    pub expired_at_ms: Option<i64>,
    pub at_us: i64,
}

/// Where a client stood at the end.
#[derive(Debug, Clone)]
pub struct End {
    pub client: String,
    pub session: String,
    pub position: Option<Position>,
}

/// What the store held at the end.
#[derive(Debug, Clone)]
pub struct Final {
    pub session: String,
    pub shown: ShownSession,
    /// `running` and the like.
    pub status: String,
    /// When its clock runs out, in cluster time.
    pub deadline_ms: Option<i64>,
    pub at_us: i64,
}

type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Writes a history down while it happens; a clone writes into the same one.
#[derive(Clone)]
pub struct Recorder {
    history: Arc<Mutex<History>>,
    now_us: Now,
}

/// A call that is under way. Dropped before an answer came, its outcome is unknown.
pub struct Pending {
    recorder: Recorder,
    call: Option<Call>,
}

impl Recorder {
    /// By a clock of the machine that runs the test.
    pub fn new(now_us: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { history: Arc::default(), now_us: Arc::new(now_us) }
    }

    pub fn in_real_time() -> Self {
        let began = Instant::now();
        Self::new(move || i64::try_from(began.elapsed().as_micros()).unwrap())
    }

    pub fn now_us(&self) -> i64 {
        (self.now_us)()
    }

    /// It is asked now.
    pub fn ask(&self, client: &str, instance: usize, session: &str, asked: Invocation) -> Pending {
        let (client, session, now) = (client.to_owned(), session.to_owned(), self.now_us());
        let answer = Answer::Unknown;
        let call = Call { client, instance, session, asked, invoked_us: now, returned_us: i64::MAX, answer };
        Pending { recorder: self.clone(), call: Some(call) }
    }

    /// It is seen now.
    pub fn see(&self, mut seen: FrameRecord) {
        seen.at_us = self.now_us();
        self.with(|history| history.seen.push(seen));
    }

    /// A client stands there now, and the recording ends.
    pub fn end(&self, client: &str, session: &str, position: Option<Position>) {
        let (client, session) = (client.to_owned(), session.to_owned());
        self.with(|history| history.ends.push(End { client, session, position }));
    }

    /// For what is no call and no frame.
    pub fn with<T>(&self, write: impl FnOnce(&mut History) -> T) -> T {
        write(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has been written down so far.
    pub fn history(&self) -> History {
        self.with(|history| history.clone())
    }
}

impl Pending {
    /// It is answered now.
    pub fn answered(mut self, answer: Answer) {
        if let Some(call) = &mut self.call {
            // When an unknown outcome came about is unknown too: it may still be under way.
            let is_over = answer != Answer::Unknown;
            (call.answer, call.returned_us) = (answer, if is_over { self.recorder.now_us() } else { i64::MAX });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.recorder.with(|history| history.calls.push(call));
        }
    }
}

//! Everything that happened in a schedule, with its true instant, in true order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use synckairos::domain::entry::Entry;
use synckairos::domain::id::SessionKey;
use synckairos::domain::position::Position;
use synckairos::domain::session::Session;
use synckairos::domain::session::command::{Command, Refused};
use synckairos::domain::time::Timestamp;

use super::clock::Truth;
use super::plan::StepKind;

/// A version that was stored.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: SessionKey,
    /// What it was made from.
    pub base: Option<Position>,
    pub session: Arc<Session>,
    pub frames: Bytes,
    pub entry: Arc<Entry>,
}

/// What an answer to a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, and this is where it stood then; by the first of its repeats at another place.
    Done { at: Position, replayed: Option<Position> },
    /// It is deleted, and the ledger has that.
    Gone,
    /// It stands there.
    Stands(Position),
    /// The rules decline, as of this state.
    Refused(Refused, Position),
    /// The version that was named is not the newest; this is.
    Stale(Position),
    /// There is one already, at this position.
    Exists(Position),
    /// There is no such session.
    Missing,
    /// Nothing was done, for want of something that is away.
    Away(&'static str),
    /// Nobody knows.
    Unknown,
    /// Anything else: never right here.
    Odd(String),
}

/// What was wished for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    Create,
    Command(Command),
    Revert(u64),
    Delete,
    Look,
}

/// One try of a command.
#[derive(Debug, Clone)]
pub struct Try {
    /// Who made it: the name is the command's own, its repeats have the same.
    pub subject: Arc<str>,
    pub key: SessionKey,
    /// As the plan has it.
    pub what: StepKind,
    pub wish: Wish,
    pub expected: Option<u64>,
    pub has_key: bool,
    /// By the clock of the instance that was asked; none, if it never got there.
    pub arrived: Option<Timestamp>,
    pub instance: usize,
    /// True time.
    pub began: Timestamp,
    pub said: Reply,
    /// The session that came with the answer.
    pub shown: Option<Arc<Session>>,
}

/// What a watcher was handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// It connected, and said that it had this.
    Connected(Option<Position>),
    /// The newest state.
    State(Position, Bytes),
    /// A write.
    Write(Position, Vec<Bytes>),
    /// It is deleted.
    Deleted(Position),
    /// There is no such session.
    Missing,
    /// The connection ended.
    Cut,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    Stored(Stored),
    /// A session was taken back.
    Restored {
        key: SessionKey,
        over: Option<Position>,
        session: Arc<Session>,
    },
    /// The store has let go of an idle session.
    LetGo(SessionKey),
    /// The store died; what stood there, what stands there now, and what the ledger held
    /// then.
    Died {
        key: SessionKey,
        stood: Option<Position>,
        stands: Option<Position>,
        recorded: Option<Position>,
    },
    /// The ledger was given an entry.
    Recorded(Arc<Entry>),
    Tried(Try),
    Observation {
        watcher: usize,
        key: SessionKey,
        seen: Observation,
    },
    /// A fault, or its end.
    Fault(String),
}

/// The record that everyone in the world writes to.
#[derive(Debug, Clone)]
pub struct Record {
    truth: Truth,
    events: Arc<Mutex<Vec<(Timestamp, Event)>>>,
}

impl Record {
    pub fn new(truth: Truth) -> Self {
        Self { truth, events: Arc::default() }
    }

    pub fn truth(&self) -> Truth {
        self.truth
    }

    pub fn add(&self, event: Event) {
        let now = self.truth.now();
        self.events().push((now, event));
    }

    /// All of it, to be judged.
    pub fn take(&self) -> Vec<(Timestamp, Event)> {
        std::mem::take(&mut self.events())
    }

    fn events(&self) -> MutexGuard<'_, Vec<(Timestamp, Event)>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// What happened, as the audit has it.
    pub fn change(&self) -> serde_json::Value {
        serde_json::from_slice(&self.entry.change).unwrap()
    }

    pub fn position(&self) -> Position {
        self.session.position
    }

    /// By whom.
    pub fn subject(&self) -> Option<String> {
        self.change()["by"]["sub"].as_str().map(str::to_owned)
    }
}

impl Wish {
    const fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Command(command) => command.name(),
            Self::Revert(_) => "revert",
            Self::Delete => "delete",
            Self::Look => "look",
        }
    }
}

fn at(position: Option<Position>) -> String {
    position.map_or_else(|| "nowhere".to_owned(), |position| position.to_string())
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(stored) => {
                let (change, status) = (stored.change(), stored.session.status.as_str());
                let (key, made, base) = (&stored.key.session, stored.position(), at(stored.base));
                let by = stored.subject().unwrap_or_default();
                write!(f, "{key}: stored {made} on {base}, {} {by}, {status}", change["command"])
            }
            Self::Restored { key, over, session } => {
                write!(f, "{}: taken back as {} over {}", key.session, session.position, at(*over))
            }
            Self::LetGo(key) => write!(f, "{}: let go", key.session),
            Self::Died { key, stood, stands, recorded } => {
                let (stood, stands, recorded) = (at(*stood), at(*stands), at(*recorded));
                write!(f, "{}: the store died at {stood}, is back at {stands}; the ledger has {recorded}", key.session)
            }
            Self::Recorded(entry) => write!(f, "{}: recorded {}", entry.key.session, entry.link.position),
            Self::Tried(tried) => {
                let Try { subject, key, wish, expected, instance, said, .. } = tried;
                let began = Truth::told(tried.began);
                write!(f, "{}: {subject} asked {instance} at {began} to {}", key.session, wish.name())?;
                expected.map_or(Ok(()), |version| write!(f, " version {version}"))?;
                write!(f, ": {said:?}")
            }
            Self::Observation { watcher, key, seen } => match seen {
                Observation::State(position, _) => write!(f, "{}: watcher {watcher} is at {position}", key.session),
                Observation::Write(position, _) => write!(f, "{}: watcher {watcher} is told {position}", key.session),
                other => write!(f, "{}: watcher {watcher}: {other:?}", key.session),
            },
            Self::Fault(what) => f.write_str(what),
        }
    }
}

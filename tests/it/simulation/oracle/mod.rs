//! Whether a schedule went as promised.

mod commands;
mod history;
mod lines;
mod timeline;
mod times;
mod watching;

use synckairos::domain::id::SessionKey;
use synckairos::domain::time::Timestamp;

use self::timeline::Timeline;
use super::client::key;
use super::record::Event;
use super::world::Outcome;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Of which session.
    pub key: SessionKey,
    pub what: String,
}

/// The events of one session, with all that follows from them.
struct Case<'a> {
    outcome: &'a Outcome,
    key: SessionKey,
    events: Vec<&'a (Timestamp, Event)>,
    timeline: Timeline<'a>,
}

impl<'a> Case<'a> {
    fn of(outcome: &'a Outcome, key: SessionKey) -> Self {
        let events: Vec<_> = outcome.events.iter().filter(|(_, event)| event.key() == Some(&key)).collect();
        let timeline = Timeline::of(&events);
        Self { outcome, key, events, timeline }
    }

    fn complain<T>(&self, what: String) -> Result<T, Complaint> {
        Err(Complaint { key: self.key.clone(), what })
    }

    fn judge(&self) -> Result<(), Complaint> {
        let line = self.line()?;
        self.ledger(&line)?;
        self.commands(&line)?;
        self.watchers()?;
        self.times(&line)?;
        self.history(&line)
    }
}

impl Outcome {
    /// The first promise that was not kept, if one was not.
    pub fn judge(&self) -> Result<(), Complaint> {
        for session in 0..self.plan.sessions.len() {
            Case::of(self, key(session)).judge()?;
        }
        match &self.stuck {
            Some(what) => Err(Complaint { key: key(0), what: what.clone() }),
            None => Ok(()),
        }
    }
}

impl Event {
    /// Of which session it tells.
    pub fn key(&self) -> Option<&SessionKey> {
        match self {
            Self::Stored(stored) => Some(&stored.key),
            Self::Tried(tried) => Some(&tried.key),
            Self::Recorded(entry) => Some(&entry.key),
            Self::Restored { key, .. } | Self::LetGo(key) | Self::Died { key, .. } | Self::Observation { key, .. } => {
                Some(key)
            }
            Self::Fault(_) => None,
        }
    }
}

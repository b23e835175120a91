//! Between entries and columns, the same for every dialect.

use serde_json::{Map, Value};

use super::Error;
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::session::facts::Facts;

/// The status of a session that is no more; lists leave it out.
pub(super) const DELETED: &str = "deleted";

/// An entry as its columns, checked.
pub(super) struct Columns<'a> {
    pub entry: &'a Entry,
    pub version: i64,
    pub digest: Digest,
    pub body: Option<&'a str>,
    pub change: &'a str,
    /// What lists ask for; absent where the body was shed.
    pub listed: Option<Listed>,
}

impl<'a> Columns<'a> {
    /// Whatever does not fit is refused here, by the entry alone: it must not
    /// depend on what else is in its batch.
    pub fn of(entry: &'a Entry) -> Result<Self, Error> {
        Ok(Self {
            entry,
            version: i64::try_from(entry.link.position.version).map_err(refused)?,
            digest: entry.link.digest(),
            body: entry.body.as_deref().map(text).transpose()?,
            change: text(&entry.change)?,
            listed: entry.body.as_deref().map(Listed::of).transpose()?,
        })
    }
}

/// What lists and sweeps ask for.
pub(super) struct Listed {
    pub status: String,
    pub sync_mode: String,
    pub due_at: Option<i64>,
    pub updated_at: i64,
    pub participants: String,
    pub metadata: String,
}

impl Listed {
    fn of(body: &[u8]) -> Result<Self, Error> {
        let facts = Facts::of(body).map_err(refused)?;
        let ids: Vec<&str> = facts.participants.iter().map(|named| named.participant_id.as_str()).collect();
        // A deleted session waits for nothing, whatever its last state said.
        let due_at = facts.due_at.filter(|_| facts.status != DELETED);
        Ok(Self {
            due_at: due_at.map(crate::domain::time::Timestamp::as_ms),
            updated_at: facts.updated_at.as_ms(),
            participants: serde_json::to_string(&ids).map_err(refused)?,
            metadata: texts(facts.metadata),
            status: facts.status,
            sync_mode: facts.sync_mode,
        })
    }
}

/// Metadata as an object of texts.
fn texts(metadata: Map<String, Value>) -> String {
    let as_text = |value| match value {
        text @ Value::String(_) => text,
        other => Value::String(other.to_string()),
    };
    let texts: Map<String, Value> = metadata.into_iter().map(|(key, value)| (key, as_text(value))).collect();
    Value::Object(texts).to_string()
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(refused)
}

/// The ledger answered, and will not take this.
pub(super) fn refused(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Refused(source.into())
}

/// The ledger did not answer.
pub(super) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(source.into())
}

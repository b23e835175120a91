//! Between entries and columns, the same for every dialect.

use serde_json::Value;

use super::DeadLetter;
use super::error::{Error, refused};
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::ParticipantId;
use crate::domain::session::summary::Summary;

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
    pub participants: Vec<ParticipantId>,
    /// All of it as texts: what is no string stands here as its JSON.
    pub metadata: Vec<(String, String)>,
}

impl Listed {
    fn of(body: &[u8]) -> Result<Self, Error> {
        let facts = Summary::of(body).map_err(refused)?;
        // A deleted session waits for nothing, whatever its last state said.
        let due_at = facts.due_at.filter(|_| facts.status != DELETED);
        Ok(Self {
            due_at: due_at.map(crate::domain::time::Timestamp::as_ms),
            updated_at: facts.updated_at.as_ms(),
            participants: facts.participants.into_iter().map(|named| named.participant_id).collect(),
            metadata: facts.metadata.into_iter().map(|(name, value)| (name, as_text(value))).collect(),
            status: facts.status,
            sync_mode: facts.sync_mode,
        })
    }
}

/// What a dead letter is known by, so that a page may go on after it.
pub(super) fn name(letter: Option<&DeadLetter>) -> (&str, &str, String, Vec<u8>) {
    letter.map_or_else(Default::default, |DeadLetter { entry: Entry { key, link, .. }, .. }| {
        let digest = link.digest().as_bytes().to_vec();
        (key.tenant.as_str(), key.session.as_str(), link.position.to_string(), digest)
    })
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(refused)
}

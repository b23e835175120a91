//! Entries as columns, the same for both backends.

use serde_json::Value;

use super::DeadLetter;
use super::error::{Error, refused};
use crate::domain::chain::Digest;
use crate::domain::entry::Entry;
use crate::domain::id::ParticipantId;
use crate::domain::session::summary::Summary;
use crate::domain::time::Timestamp;

/// The status that lists exclude by default.
pub(super) const DELETED: &str = "deleted";

/// The validated columns of an entry.
pub(super) struct Columns<'a> {
    pub entry: &'a Entry,
    pub version: i64,
    pub digest: Digest,
    pub body: Option<&'a str>,
    pub change: &'a str,
    /// Absent if the body was shed.
    pub session: Option<SessionColumns>,
}

impl<'a> Columns<'a> {
    /// Refuses an invalid entry by itself, so that the result does not depend on its batch.
    pub fn of(entry: &'a Entry) -> Result<Self, Error> {
        Ok(Self {
            entry,
            version: i64::try_from(entry.link.position.version).map_err(refused)?,
            digest: entry.link.digest(),
            body: entry.body.as_deref().map(utf8).transpose()?,
            change: utf8(&entry.change)?,
            session: entry.body.as_deref().map(SessionColumns::of).transpose()?,
        })
    }
}

/// The columns that lists and sweeps filter by.
pub(super) struct SessionColumns {
    pub status: String,
    pub sync_mode: String,
    pub due_at: Option<i64>,
    pub updated_at: i64,
    pub participants: Vec<ParticipantId>,
    /// All values as text: a value that is no string is its JSON.
    pub metadata: Vec<(String, String)>,
}

impl SessionColumns {
    fn of(body: &[u8]) -> Result<Self, Error> {
        let summary = Summary::of(body).map_err(refused)?;
        // A deleted session needs no action, whatever its last state was.
        let due_at = summary.due_at.filter(|_| summary.status != DELETED);
        Ok(Self {
            due_at: due_at.map(Timestamp::as_ms),
            updated_at: summary.updated_at.as_ms(),
            participants: summary.participants.into_iter().map(|participant| participant.participant_id).collect(),
            metadata: summary.metadata.into_iter().map(|(name, value)| (name, as_text(value))).collect(),
            status: summary.status,
            sync_mode: summary.sync_mode,
        })
    }
}

/// What identifies a dead letter: the next page starts after it.
pub(super) fn dead_letter_key(letter: Option<&DeadLetter>) -> (&str, &str, String, Vec<u8>) {
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

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(refused)
}

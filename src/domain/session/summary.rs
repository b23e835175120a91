//! The parts of a stored session that lists and sweeps read.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::id::ParticipantId;
use crate::domain::time::Timestamp;

/// A view of a stored session; every stored format has these at its top.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    /// Format number of the stored form.
    pub format: u16,
    /// Status as on the wire, or `deleted`.
    pub status: String,
    /// Sync mode as on the wire.
    pub sync_mode: String,
    /// When something happens without a command.
    pub due_at: Option<Timestamp>,
    /// When the session was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Who takes part.
    #[serde(default)]
    pub participants: Vec<Named>,
    /// The caller's metadata.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// A participant, by name alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    /// Its id.
    pub participant_id: ParticipantId,
}

impl Summary {
    /// Reads the summary of a stored session.
    pub fn of(stored: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(stored)
    }
}

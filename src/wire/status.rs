//! The status of an instance.

use std::collections::BTreeMap;

use serde::Serialize;

/// The payload of `STATUS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceStatus {
    /// The id of the instance, as in its settings.
    pub instance_id: String,
    /// Whether the store answers.
    pub store: bool,
    /// Whether the ledger answers and takes writes.
    pub ledger: bool,
    /// How far cluster time may be off, in ms, rounded up.
    pub uncertainty_ms: u64,
    /// How many sessions are followed over each transport; a session that two streams follow counts twice.
    pub subscribers: BTreeMap<&'static str, usize>,
}

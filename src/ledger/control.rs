//! What administrators change while the service runs, and the security events, as the ledger
//! keeps them.
//!
//! Each change has a revision: the number of the newest one goes up in the transaction of the
//! change. So the order of revisions is that of commits, and whoever has read up to one has
//! missed none before it.

use async_trait::async_trait;

use super::error::Error;
use super::page::Page;
use crate::domain::id::TenantId;
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::revocation::Revocation;
use crate::domain::time::Timestamp;

/// What a tenant has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The name of the setting, which another release may have defined.
    pub name: String,
    /// Its value as JSON; `None` once it is back at its default.
    pub value: Option<String>,
    /// The revision of its last change.
    pub revision: u64,
}

/// A revocation, or that it was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationChange {
    /// The revocation.
    pub revocation: Revocation,
    /// Whether it was taken back.
    pub is_removed: bool,
}

/// What has changed since a revision. It may hold some of what comes after `revision` as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlChanges {
    /// Nothing up to here is missing.
    pub revision: u64,
    /// Whether this is all there is, and not only what has changed: the caller asked for all,
    /// or the ledger is older than its caller's state.
    pub is_whole: bool,
    /// Settings.
    pub settings: Vec<SettingRow>,
    /// Revocations.
    pub revocations: Vec<RevocationChange>,
}

/// A change of a tenant's settings.
#[derive(Debug, Clone)]
pub struct SettingsChange {
    /// The tenant.
    pub tenant: TenantId,
    /// Each setting, and its new value as JSON; `None` for its default.
    pub values: Vec<(&'static str, Option<String>)>,
    /// The revision that the settings must have.
    pub expected: Option<u64>,
    /// Recognises a repeat.
    pub idempotency: Option<IdempotencyKey>,
    /// The administrator's subject.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a change of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsOutcome {
    /// It is made.
    Changed {
        /// The names of those that had another value.
        names: Vec<&'static str>,
        /// Whether it was made by an earlier request with the same idempotency key.
        is_replay: bool,
    },
    /// The settings have another revision than expected: this one.
    Stale(u64),
    /// The idempotency key was used with another body.
    Mismatch,
}

/// A revocation to be made.
#[derive(Debug, Clone)]
pub struct RevocationRequest {
    /// The revocation.
    pub revocation: Revocation,
    /// The most that may stand in its tenant.
    pub limit: u32,
    /// Recognises a repeat.
    pub idempotency: Option<IdempotencyKey>,
}

/// What became of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It stands.
    Added(Revocation),
    /// An earlier request with the same idempotency key made it.
    Replayed(Revocation),
    /// The idempotency key was used with another body, or what it made was taken back.
    Mismatch,
    /// The tenant has as many as it may.
    TooMany,
}

/// A security event, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityRow {
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its id; ids are in the order of time.
    pub id: String,
    /// When it happened first.
    pub at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// Whom it concerns; empty if nobody is known.
    pub subject: String,
    /// The address it came from; empty if it came from none.
    pub address: String,
    /// What else there is to say.
    pub detail: String,
    /// How many there were within the second.
    pub times: u64,
}

/// Which security events to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityFilter {
    /// Only those of one kind.
    pub kind: Option<String>,
    /// Only those since an instant.
    pub since: Option<Timestamp>,
    /// Only those before that id.
    pub before: Option<String>,
}

/// What administrators change while the service runs, and the security events.
///
/// Every call may fail with [`Error::Unavailable`]; the outcome of a write is then unknown. A
/// repeat with the same idempotency key is safe.
#[async_trait]
pub trait ControlLedger: Send + Sync {
    /// The revision of the newest change.
    async fn control_revision(&self) -> Result<u64, Error>;

    /// What has changed since a revision. Since 0, or since one that the ledger has not reached,
    /// it is all that is in force at `now`.
    async fn control_changes(&self, since: u64, now: Timestamp) -> Result<ControlChanges, Error>;

    /// What a tenant has ever set, by name.
    async fn tenant_settings(&self, tenant: &TenantId) -> Result<Vec<SettingRow>, Error>;

    /// Changes all of the settings given, or none.
    async fn change_settings(&self, change: &SettingsChange) -> Result<SettingsOutcome, Error>;

    /// Revokes tokens.
    async fn add_revocation(&self, request: &RevocationRequest) -> Result<RevocationOutcome, Error>;

    /// Takes a revocation back; returns the revision of that, or `None` if none of that id stands.
    async fn remove_revocation(&self, tenant: &TenantId, id: &str, at: Timestamp) -> Result<Option<u64>, Error>;

    /// A tenant's revocations that stand at `now`, by id, after a given one.
    async fn revocations(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Revocation>, Error>;

    /// Keeps security events, all or none. A repeat changes nothing.
    async fn add_security_events(&self, events: &[SecurityRow]) -> Result<(), Error>;

    /// A tenant's security events, newest first.
    async fn security_events(
        &self,
        tenant: &TenantId,
        filter: &SecurityFilter,
        limit: u32,
    ) -> Result<Page<SecurityRow>, Error>;

    /// Forgets security events from before an instant; returns how many.
    async fn forget_security_events(&self, before: Timestamp) -> Result<u64, Error>;
}

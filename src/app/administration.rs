//! What administrators do: change settings, revoke tokens, read security events.
//!
//! The ledger decides. Then this instance reads the change back, and others are told.

use std::sync::Arc;

use crate::control::ControlPlane;
use crate::domain::chain::Digest;
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::principal::Principal;
use crate::domain::revocation::{Revocation, RevokedTokens};
use crate::domain::setting::{Setting, SettingValue, TenantSettings, setting};
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger;
use crate::ledger::control::{
    RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingsChange, SettingsOutcome,
};
use crate::ledger::{Ledger, Page};
use crate::security::{EventKind, Security, SecurityEvent};
use crate::telemetry::outage::chain;

/// The most revocations that may stand in a tenant. A subject's tokens are one.
pub const MAX_REVOCATIONS: u32 = 10_000;

/// A caller's idempotency key, and the digest of the body that came with it.
pub type RequestKey = Option<(String, Digest)>;

/// Why an administrator's request failed.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// The settings have another revision than the caller named: this one.
    #[error("the settings have changed")]
    Stale(u64),
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyMismatch,
    /// The tenant has as many revocations as it may.
    #[error("the tenant has as many revocations as it may")]
    TooManyRevocations,
    /// No revocation of that id stands in the tenant.
    #[error("there is no such revocation")]
    NoSuchRevocation,
    /// The ledger could not be read.
    #[error("failed to read the ledger")]
    Read(#[source] ledger::Error),
    /// The ledger did not take a change, or did not say whether it did.
    #[error("failed to write to the ledger")]
    Write(#[source] ledger::Error),
}

/// A tenant's settings, and the revision of their last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsAtRevision {
    /// What the tenant has set.
    pub settings: TenantSettings,
    /// 0 where it has never set any.
    pub revision: u64,
}

/// Use cases of administrators. Callers have checked that they are some.
pub struct Administration {
    /// Decides and keeps.
    pub ledger: Arc<dyn Ledger>,
    /// Brings changes into force.
    pub plane: Arc<ControlPlane>,
    /// Takes each change as an event.
    pub security: Arc<dyn Security>,
    /// Makes the ids of revocations.
    pub ids: Ids,
    /// The longest life of a token, where tokens have one: a revocation ends after it.
    pub token_life_ms: Option<i64>,
}

impl Administration {
    /// The settings of the caller's tenant.
    pub async fn settings(&self, by: &Principal) -> Result<SettingsAtRevision, AdministrationError> {
        let rows = self.ledger.tenant_settings(&by.tenant).await.map_err(AdministrationError::Read)?;
        let revision = rows.iter().map(|row| row.revision).max().unwrap_or(0);
        let mut settings = TenantSettings::new();
        for row in &rows {
            // Another release may know more settings, and take other values.
            let Some(setting) = setting(&row.name) else { continue };
            let value = row.value.as_deref().and_then(|text| serde_json::from_str(text).ok());
            settings.set(setting, value.and_then(|value| setting.read(&value).ok()));
        }
        Ok(SettingsAtRevision { settings, revision })
    }

    /// Changes settings, all or none; `None` puts one back to its default. Returns whether an
    /// earlier request with the same key had done it.
    pub async fn change_settings(
        &self,
        by: &Principal,
        values: Vec<(&'static Setting, Option<SettingValue>)>,
        expected: Option<u64>,
        key: RequestKey,
        at: Timestamp,
    ) -> Result<bool, AdministrationError> {
        let json = |value: SettingValue| value.json().to_string();
        let values = values.into_iter().map(|(setting, value)| (setting.name, value.map(json))).collect();
        let (tenant, subject) = (by.tenant.clone(), by.subject.clone());
        let idempotency = idempotency("settings", by, key);
        let change = SettingsChange { tenant, values, expected, idempotency, by: subject, at };
        match self.ledger.change_settings(&change).await.map_err(AdministrationError::Write)? {
            SettingsOutcome::Changed { names, is_replay } => {
                self.bring_into_force().await;
                if !names.is_empty() {
                    self.record(EventKind::SettingsChanged, by, described(&change, &names));
                }
                Ok(is_replay)
            }
            SettingsOutcome::Stale(revision) => Err(AdministrationError::Stale(revision)),
            SettingsOutcome::Mismatch => Err(AdministrationError::IdempotencyMismatch),
        }
    }

    /// Revokes tokens of the caller's tenant. Returns the revocation, and whether an earlier
    /// request with the same key had made it.
    pub async fn revoke(
        &self,
        by: &Principal,
        tokens: RevokedTokens,
        key: RequestKey,
        at: Timestamp,
    ) -> Result<(Revocation, bool), AdministrationError> {
        let expires_at = self.token_life_ms.map_or(Timestamp::NEVER, |life_ms| at + life_ms);
        let (id, tenant) = (self.ids.uuid(at).to_string(), by.tenant.clone());
        let revocation = Revocation { id, tenant, tokens, at, by: by.subject.clone(), expires_at };
        let idempotency = idempotency("revocations", by, key);
        let request = RevocationRequest { revocation, limit: MAX_REVOCATIONS, idempotency };
        match self.ledger.add_revocation(&request).await.map_err(AdministrationError::Write)? {
            RevocationOutcome::Added(revocation) => {
                self.bring_into_force().await;
                self.record(EventKind::RevocationAdded, by, revoked(&revocation));
                Ok((revocation, false))
            }
            RevocationOutcome::Replayed(revocation) => {
                self.bring_into_force().await;
                Ok((revocation, true))
            }
            RevocationOutcome::Mismatch => Err(AdministrationError::IdempotencyMismatch),
            RevocationOutcome::TooMany => Err(AdministrationError::TooManyRevocations),
        }
    }

    /// The revocations that stand in the caller's tenant, oldest first.
    pub async fn revocations(
        &self,
        by: &Principal,
        after: Option<&str>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Revocation>, AdministrationError> {
        self.ledger.revocations(&by.tenant, after, now, limit).await.map_err(AdministrationError::Read)
    }

    /// Takes a revocation back.
    pub async fn remove_revocation(&self, by: &Principal, id: &str, at: Timestamp) -> Result<(), AdministrationError> {
        let removed = self.ledger.remove_revocation(&by.tenant, id, at).await.map_err(AdministrationError::Write)?;
        removed.ok_or(AdministrationError::NoSuchRevocation)?;
        self.bring_into_force().await;
        self.record(EventKind::RevocationRemoved, by, format!("revocation {id}"));
        Ok(())
    }

    /// The security events of the caller's tenant, newest first.
    pub async fn security_events(
        &self,
        by: &Principal,
        filter: &SecurityFilter,
        limit: u32,
    ) -> Result<Page<SecurityRow>, AdministrationError> {
        self.ledger.security_events(&by.tenant, filter, limit).await.map_err(AdministrationError::Read)
    }

    /// The change is committed. If it cannot be read back now, it is within seconds.
    async fn bring_into_force(&self) {
        if let Err(error) = self.plane.refresh().await {
            tracing::warn!(
                error = chain(&error),
                "failed to read a change back: it is in force once the ledger answers"
            );
        }
    }

    fn record(&self, kind: EventKind, by: &Principal, detail: String) {
        self.security.record(SecurityEvent::of(kind).by(by).detail(detail));
    }
}

/// No two tenants, callers or kinds of request share a digest.
fn idempotency(kind: &str, by: &Principal, key: RequestKey) -> Option<IdempotencyKey> {
    let (key, body) = key?;
    let (tenant, identity) = (&by.tenant, by.identity());
    let named = format!("{kind}\n{tenant}\n{}\n{identity}\n{key}", identity.len());
    Some(IdempotencyKey { key: Digest::of(named.as_bytes()), body })
}

/// The settings that have another value, with that.
fn described(change: &SettingsChange, names: &[&str]) -> String {
    let changed = change.values.iter().filter(|(name, _)| names.contains(name));
    let texts = changed.map(|(name, value)| format!("{name} = {}", value.as_deref().unwrap_or("default")));
    texts.collect::<Vec<_>>().join(", ")
}

fn revoked(revocation: &Revocation) -> String {
    match &revocation.tokens {
        RevokedTokens::Token(id) => format!("revocation {} of token {id}", revocation.id),
        RevokedTokens::Subject { subject, .. } => format!("revocation {} of the tokens of {subject}", revocation.id),
    }
}

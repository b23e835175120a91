//! What is in force: settings and revocations, by tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::id::TenantId;
use crate::domain::principal::Principal;
use crate::domain::revocation::{Revocation, RevokedTokens, is_made_by};
use crate::domain::setting::{ENDING_STREAMS, TenantSettings, setting};
use crate::domain::time::Timestamp;
use crate::ledger::control::{ControlChanges, RevocationChange, SettingRow};

/// What is in force at one revision. Tenants that have changed nothing are not in it.
#[derive(Debug, Clone, Default)]
pub struct ControlState {
    /// Nothing up to here is missing.
    pub revision: u64,
    tenants: HashMap<TenantId, Arc<TenantState>>,
}

/// The same of one tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantState {
    /// What it has set.
    pub settings: TenantSettings,
    revocations: BTreeMap<String, Revocation>,
    /// When the revocation of each token ends, by the token's id.
    tokens: HashMap<String, Timestamp>,
    /// The revocations of each subject.
    subjects: HashMap<String, Vec<SubjectRevocation>>,
}

#[derive(Debug, Clone, Copy)]
struct SubjectRevocation {
    before: Timestamp,
    expires_at: Timestamp,
}

/// A state, and whether streams that are open may have to end by it: by another revocation, or
/// another list of addresses.
pub(super) struct Applied {
    pub state: ControlState,
    pub may_end_streams: bool,
}

impl ControlState {
    /// What is in force for a tenant, if it has changed anything.
    pub fn tenant(&self, tenant: &TenantId) -> Option<&Arc<TenantState>> {
        self.tenants.get(tenant)
    }

    /// How many revocations there are.
    pub fn revocations(&self) -> usize {
        self.tenants.values().map(|tenant| tenant.revocations.len()).sum()
    }

    /// Whether another state has the same revocations.
    fn has_revocations_of(&self, other: &Self) -> bool {
        let in_other = |tenant: &TenantId| other.tenant(tenant).map(|state| &state.revocations);
        let is_same = |(tenant, state): (&TenantId, &TenantState)| {
            in_other(tenant).map_or(state.revocations.is_empty(), |revocations| *revocations == state.revocations)
        };
        self.revocations() == other.revocations() && self.tenants().all(is_same)
    }

    /// Every tenant that has changed something.
    pub(super) fn tenants(&self) -> impl Iterator<Item = (&TenantId, &TenantState)> {
        self.tenants.iter().map(|(tenant, state)| (tenant, &**state))
    }

    /// The state after some changes. Revocations that have ended by `now` are dropped.
    pub(super) fn apply(&self, changes: &ControlChanges, now: Timestamp) -> Applied {
        let mut tenants: HashMap<TenantId, TenantState> = HashMap::new();
        let base = if changes.is_whole { Self::default() } else { self.clone() };
        let before = |tenant: &TenantId| base.tenant(tenant).map(|state| (**state).clone()).unwrap_or_default();
        for row in &changes.settings {
            tenants.entry(row.tenant.clone()).or_insert_with(|| before(&row.tenant)).set(row);
        }
        for change in &changes.revocations {
            let tenant = &change.revocation.tenant;
            tenants.entry(tenant.clone()).or_insert_with(|| before(tenant)).revoke(change);
        }
        let mut state = base;
        for (tenant, mut changed) in tenants {
            changed.index(now);
            if changed.is_empty() {
                state.tenants.remove(&tenant);
            } else {
                state.tenants.insert(tenant, Arc::new(changed));
            }
        }
        state.revision = changes.revision;
        let has_new_revocations =
            if changes.is_whole { !self.has_revocations_of(&state) } else { !changes.revocations.is_empty() };
        let is_of_addresses = |row: &SettingRow| ENDING_STREAMS.iter().any(|setting| setting.name == row.name);
        // Of a whole state it is not told which settings are others than before.
        let may_have_new_lists = changes.is_whole || changes.settings.iter().any(is_of_addresses);
        Applied { may_end_streams: has_new_revocations || may_have_new_lists, state }
    }
}

impl TenantState {
    /// Whether the token of `principal` is revoked at `now`.
    pub(super) fn is_revoked(&self, principal: &Principal, now: Timestamp) -> bool {
        let from = &principal.provenance;
        let by_id = from.token_id.as_ref().and_then(|id| self.tokens.get(id));
        if by_id.is_some_and(|expires_at| *expires_at > now) {
            return true;
        }
        let subjects = [Some(&principal.subject), from.made_by.as_ref()];
        let mut revocations = subjects.into_iter().flatten().filter_map(|subject| self.subjects.get(subject)).flatten();
        revocations.any(|revoked| revoked.expires_at > now && is_made_by(from.issued_at, revoked.before))
    }

    /// Its revocations, by id.
    pub(super) fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.revocations.values()
    }

    fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.revocations.is_empty()
    }

    /// A setting that this release does not know, or a value that it does not take, counts for
    /// nothing: another release has set it.
    fn set(&mut self, row: &SettingRow) {
        let Some(setting) = setting(&row.name) else { return };
        let value = row.value.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let value = value.and_then(|value| setting.read(&value).ok());
        self.settings.set(setting, value);
    }

    fn revoke(&mut self, change: &RevocationChange) {
        let RevocationChange { revocation, is_removed } = change;
        if *is_removed {
            self.revocations.remove(&revocation.id);
        } else {
            self.revocations.insert(revocation.id.clone(), revocation.clone());
        }
    }

    /// Drops what has ended, and finds the rest by token and subject.
    fn index(&mut self, now: Timestamp) {
        self.revocations.retain(|_, revocation| revocation.expires_at > now);
        self.tokens.clear();
        self.subjects.clear();
        for Revocation { tokens, expires_at, .. } in self.revocations.values() {
            match tokens {
                RevokedTokens::Token(id) => {
                    let end = self.tokens.entry(id.clone()).or_insert(*expires_at);
                    *end = (*end).max(*expires_at);
                }
                RevokedTokens::Subject { subject, before } => {
                    let revoked = SubjectRevocation { before: *before, expires_at: *expires_at };
                    self.subjects.entry(subject.clone()).or_default().push(revoked);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::{Provenance, Role};
    use crate::domain::setting::MAX_SESSION_BYTES;

    const NOW: Timestamp = Timestamp::from_ms(1_000);

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn revoked(id: &str, tokens: RevokedTokens, expires_ms: i64) -> RevocationChange {
        let expires_at = Timestamp::from_ms(expires_ms);
        let revocation =
            Revocation { id: id.to_owned(), tenant: tenant("t"), tokens, at: NOW, by: "a".to_owned(), expires_at };
        RevocationChange { revocation, is_removed: false }
    }

    fn subject(name: &str, before_ms: i64) -> RevokedTokens {
        RevokedTokens::Subject { subject: name.to_owned(), before: Timestamp::from_ms(before_ms) }
    }

    fn principal(of: &str, name: &str, id: Option<&str>, made_by: Option<&str>, issued_ms: i64) -> Principal {
        Principal {
            tenant: tenant(of),
            subject: name.to_owned(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            locations: None,
            expires_at: None,
            provenance: Provenance {
                token_id: id.map(str::to_owned),
                issued_at: Some(Timestamp::from_ms(issued_ms)),
                made_by: made_by.map(str::to_owned),
                seat: None,
            },
        }
    }

    fn is_revoked(state: &ControlState, principal: &Principal, now: Timestamp) -> bool {
        state.tenant(&principal.tenant).is_some_and(|tenant| tenant.is_revoked(principal, now))
    }

    #[test]
    fn a_revocation_holds_in_its_tenant_until_it_ends_or_is_taken_back() {
        let tokens = RevokedTokens::Token("j".to_owned());
        let changes = ControlChanges {
            revision: 3,
            revocations: vec![
                revoked("1", tokens.clone(), 2_000),
                revoked("2", subject("s", 900), 3_000),
                revoked("3", subject("s", 500), 9_000),
            ],
            ..ControlChanges::default()
        };
        let Applied { state, may_end_streams } = ControlState::default().apply(&changes, NOW);
        assert!(may_end_streams && state.revision == 3 && state.revocations() == 3);
        for (who, now_ms, expected) in [
            (principal("t", "x", Some("j"), None, 0), 1_999, true),
            (principal("t", "x", Some("j"), None, 0), 2_000, false),
            (principal("u", "x", Some("j"), None, 0), 1_999, false),
            (principal("t", "s", None, None, 900), 2_999, true),
            (principal("t", "s", None, None, 901), 1_000, false),
            (principal("t", "s", None, None, 900), 3_000, false),
            (principal("t", "s", None, None, 500), 3_000, true),
            (principal("t", "y", None, Some("s"), 900), 1_000, true),
            (principal("t", "y", None, Some("z"), 900), 1_000, false),
        ] {
            assert_eq!(is_revoked(&state, &who, Timestamp::from_ms(now_ms)), expected, "{who:?} {now_ms}");
        }
        let removed = RevocationChange { is_removed: true, ..revoked("1", tokens, 2_000) };
        let changes = ControlChanges { revision: 4, revocations: vec![removed], ..ControlChanges::default() };
        let state = state.apply(&changes, Timestamp::from_ms(3_000)).state;
        let whole =
            |revocations| ControlChanges { revision: 4, is_whole: true, revocations, ..ControlChanges::default() };
        let same = whole(vec![revoked("3", subject("s", 500), 9_000)]);
        assert!(!state.apply(&same, NOW).has_new_revocations);
        for other in [Vec::new(), vec![revoked("4", subject("s", 500), 9_000)]] {
            assert!(state.apply(&whole(other), NOW).has_new_revocations);
        }
        assert!(!is_revoked(&state, &principal("t", "x", Some("j"), None, 0), NOW));
        assert_eq!(state.revocations(), 1, "one was taken back, and one has ended");
    }

    #[test]
    fn settings_of_other_releases_count_for_nothing() {
        let row = |name: &str, value: Option<&str>| SettingRow {
            tenant: tenant("t"),
            name: name.to_owned(),
            value: value.map(str::to_owned),
            revision: 1,
        };
        let set = |rows: Vec<SettingRow>| ControlChanges { settings: rows, revision: 1, ..ControlChanges::default() };
        let name = MAX_SESSION_BYTES.name;
        let state = ControlState::default().apply(&set(vec![row(name, Some("5000"))]), NOW).state;
        assert_eq!(state.tenant(&tenant("t")).unwrap().settings.number(&MAX_SESSION_BYTES), 5_000);
        for later in [row(name, Some("-1")), row(name, Some("{")), row(name, None)] {
            assert!(
                state.apply(&set(vec![later, row("unheard_of", Some("1"))]), NOW).state.tenant(&tenant("t")).is_none()
            );
        }
        let whole = ControlChanges { revision: 1, is_whole: true, ..ControlChanges::default() };
        let Applied { state, has_new_revocations } = state.apply(&whole, NOW);
        assert!(state.tenants.is_empty() && !has_new_revocations, "no stream need look");
    }
}

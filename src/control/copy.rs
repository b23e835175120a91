//! A copy in Redis of what is in force, `sk:{members}:control`: its revision tells instances of
//! changes, and an instance that starts while the ledger is away reads the copy.
//!
//! A field of the hash is a setting or a revocation. Instances that have read the ledger write
//! it, also where nothing was ever changed: without a copy, Redis has lost it or never had one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use fred::interfaces::HashesInterface as _;
use serde::{Deserialize, Serialize};

use super::state::ControlState;
use crate::domain::id::TenantId;
use crate::domain::revocation::{Revocation, RevokedTokens};
use crate::domain::time::Timestamp;
use crate::ledger::control::{ControlChanges, RevocationChange, SettingRow};
use crate::redis::{Argument, Redis, RedisError, Script};
use crate::store::keys::Keys;

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("lua/publish.lua")]));

/// The field with the revision.
const REVISION: &str = "revision";
/// Begins the field of a setting; the tenant and the name follow.
const SETTING: &str = "setting";
/// Begins the field of a revocation; the tenant and the id follow.
const REVOCATION: &str = "revocation";

/// The copy in Redis.
pub struct RedisCopy {
    redis: Arc<Redis>,
    keys: Keys,
}

/// The stored form of a revocation. A later release may only add fields.
#[derive(Serialize, Deserialize)]
struct StoredRevocation {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sub: Option<String>,
    before: Timestamp,
    at: Timestamp,
    by: String,
    expires_at: Timestamp,
}

/// Fields to set and to delete.
#[derive(Default)]
struct Fields {
    set: Vec<(String, String)>,
    deleted: Vec<String>,
}

impl RedisCopy {
    /// Over that connection.
    pub const fn new(redis: Arc<Redis>, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Publishes `changes` since the revision `since`, or all of `state` if the copy is behind that.
    pub async fn publish(&self, since: u64, changes: &ControlChanges, state: &ControlState) -> Result<(), RedisError> {
        if changes.is_whole
            || self.run("since", since, changes.revision, Fields::of_changes(changes)).await? == "behind"
        {
            self.run("all", 0, state.revision, Fields::of_state(state)).await?;
        }
        Ok(())
    }

    /// Publishes all of `state`, also over a copy with a later revision, which has no place in
    /// the ledger.
    pub async fn replace(&self, state: &ControlState) -> Result<(), RedisError> {
        self.run("instead", 0, state.revision, Fields::of_state(state)).await.map(drop)
    }

    async fn run(&self, mode: &str, since: u64, revision: u64, fields: Fields) -> Result<String, RedisError> {
        let Fields { set, deleted } = fields;
        let head = [mode.to_owned(), since.to_string(), revision.to_string(), set.len().to_string()];
        let set = set.into_iter().flat_map(|(field, value)| [field, value]);
        let arguments = head.into_iter().chain(set).chain(deleted).map(Argument::from).collect();
        let reply = self.redis.run(&PUBLISH, &[self.keys.control()], arguments).await?;
        reply.convert().map_err(|_| RedisError::protocol())
    }

    /// All of the copy, if there is one.
    pub async fn load(&self) -> Result<Option<ControlChanges>, RedisError> {
        let commands = self.redis.commands().await?;
        let fields: HashMap<String, String> = commands.hgetall(self.keys.control()).await.map_err(RedisError::of)?;
        Ok(decode(&fields))
    }
}

fn decode(fields: &HashMap<String, String>) -> Option<ControlChanges> {
    let revision = fields.get(REVISION)?.parse().ok()?;
    let mut changes = ControlChanges { revision, is_whole: true, ..ControlChanges::default() };
    for (field, value) in fields {
        let mut parts = field.splitn(3, '/');
        let (kind, tenant, name) = (parts.next(), parts.next(), parts.next());
        let Some((tenant, name)) = tenant.and_then(|tenant| TenantId::new(tenant).ok()).zip(name) else { continue };
        match kind {
            Some(SETTING) => {
                changes.settings.push(SettingRow {
                    tenant,
                    name: name.to_owned(),
                    value: Some(value.clone()),
                    revision,
                });
            }
            // What cannot be read would be a revocation that is not in force.
            Some(REVOCATION) => changes.revocations.push(revocation(tenant, name, value)?),
            _ => {}
        }
    }
    Some(changes)
}

fn revocation(tenant: TenantId, id: &str, value: &str) -> Option<RevocationChange> {
    let StoredRevocation { jti, sub, before, at, by, expires_at } = serde_json::from_str(value).ok()?;
    let tokens = match (jti, sub) {
        (Some(id), None) => RevokedTokens::Token(id),
        (None, Some(subject)) => RevokedTokens::Subject { subject, before },
        _ => return None,
    };
    let revocation = Revocation { id: id.to_owned(), tenant, tokens, at, by, expires_at };
    Some(RevocationChange { revocation, is_removed: false })
}

impl Fields {
    fn of_state(state: &ControlState) -> Self {
        let mut fields = Self::default();
        for (tenant, of_tenant) in state.tenants() {
            for (name, value) in of_tenant.settings.iter() {
                fields.set.push((setting_field(tenant, name), value.json().to_string()));
            }
            of_tenant.revocations().for_each(|revocation| fields.revoke(revocation));
        }
        fields
    }

    fn of_changes(changes: &ControlChanges) -> Self {
        let mut fields = Self::default();
        for SettingRow { tenant, name, value, .. } in &changes.settings {
            match value {
                Some(value) => fields.set.push((setting_field(tenant, name), value.clone())),
                None => fields.deleted.push(setting_field(tenant, name)),
            }
        }
        for RevocationChange { revocation, is_removed } in &changes.revocations {
            if *is_removed {
                fields.deleted.push(revocation_field(revocation));
            } else {
                fields.revoke(revocation);
            }
        }
        fields
    }

    fn revoke(&mut self, revocation: &Revocation) {
        let (jti, sub, before) = match &revocation.tokens {
            RevokedTokens::Token(id) => (Some(id.clone()), None, revocation.at),
            RevokedTokens::Subject { subject, before } => (None, Some(subject.clone()), *before),
        };
        let Revocation { at, by, expires_at, .. } = revocation.clone();
        let stored = StoredRevocation { jti, sub, before, at, by, expires_at };
        // Texts and numbers: it always serialises.
        self.set.push((revocation_field(revocation), serde_json::to_string(&stored).unwrap_or_default()));
    }
}

fn setting_field(tenant: &TenantId, name: &str) -> String {
    format!("{SETTING}/{tenant}/{name}")
}

fn revocation_field(revocation: &Revocation) -> String {
    format!("{REVOCATION}/{}/{}", revocation.tenant, revocation.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_back_and_one_that_cannot_be_is_none() {
        let tenant = TenantId::new("t").unwrap();
        let revocation = |id: &str, tokens| Revocation {
            id: id.to_owned(),
            tenant: tenant.clone(),
            tokens,
            at: Timestamp::from_ms(1),
            by: "a".to_owned(),
            expires_at: Timestamp::NEVER,
        };
        let subject = RevokedTokens::Subject { subject: "s/1".to_owned(), before: Timestamp::from_ms(5) };
        let changes = ControlChanges {
            revision: 7,
            is_whole: true,
            settings: vec![SettingRow {
                tenant: tenant.clone(),
                name: "max_session_bytes".to_owned(),
                value: Some("5000".to_owned()),
                revision: 7,
            }],
            revocations: [revocation("1", RevokedTokens::Token("j".to_owned())), revocation("2", subject)]
                .map(|revocation| RevocationChange { revocation, is_removed: false })
                .to_vec(),
        };
        let state = ControlState::default().apply(&changes, Timestamp::from_ms(2)).state;
        let mut fields: HashMap<_, _> = Fields::of_state(&state).set.into_iter().collect();
        assert_eq!(fields, Fields::of_changes(&changes).set.into_iter().collect());
        assert!(decode(&fields).is_none(), "it has no revision");
        fields.insert(REVISION.to_owned(), "7".to_owned());
        let mut read = decode(&fields).unwrap();
        read.revocations.sort_by(|one, other| one.revocation.id.cmp(&other.revocation.id));
        assert_eq!(read, changes);
        fields.insert("revocation/t/3".to_owned(), "{}".to_owned());
        assert!(decode(&fields).is_none(), "a revocation that cannot be read would not be in force");
    }
}

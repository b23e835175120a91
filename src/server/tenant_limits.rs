//! How much tenants may ask: what their settings say.

use crate::control::Current;
use crate::domain::id::TenantId;
use crate::domain::setting::{COMMANDS_PER_S, CREATES_PER_MIN, TenantSetting};
use crate::limits::TenantLimits;

/// How much tenants may ask, by the settings in force.
pub(super) struct SettingLimits(pub Current);

impl SettingLimits {
    /// A limit of zero is none.
    fn limit(&self, tenant: &TenantId, setting: &TenantSetting) -> Option<u32> {
        u32::try_from(self.0.number(tenant, setting)).ok().filter(|limit| *limit > 0)
    }
}

impl TenantLimits for SettingLimits {
    fn commands_per_s(&self, tenant: &TenantId) -> Option<u32> {
        self.limit(tenant, &COMMANDS_PER_S)
    }

    fn creates_per_min(&self, tenant: &TenantId) -> Option<u32> {
        self.limit(tenant, &CREATES_PER_MIN)
    }
}

//! A handle to what is in force, for those who read settings: one load and one lookup.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::state::ControlState;
use crate::domain::id::TenantId;
use crate::domain::setting::{Setting, TenantSettings};

/// A handle to what is in force. The default has nothing, and stays so.
#[derive(Debug, Clone, Default)]
pub struct Current(Arc<ArcSwap<ControlState>>);

impl Current {
    /// What is in force now.
    pub fn load(&self) -> Arc<ControlState> {
        self.0.load_full()
    }

    /// The revision of what is in force now.
    pub fn revision(&self) -> u64 {
        self.0.load().revision
    }

    /// Reads the settings of a tenant.
    pub fn settings<T>(&self, tenant: &TenantId, read: impl FnOnce(&TenantSettings) -> T) -> T {
        static NONE: TenantSettings = TenantSettings::new();
        let state = self.0.load();
        read(state.tenant(tenant).map_or(&NONE, |tenant| &tenant.settings))
    }

    /// The number that a tenant has set.
    pub fn number(&self, tenant: &TenantId, setting: &Setting) -> i64 {
        self.settings(tenant, |settings| settings.number(setting))
    }

    /// The flag that a tenant has set.
    pub fn flag(&self, tenant: &TenantId, setting: &Setting) -> bool {
        self.settings(tenant, |settings| settings.flag(setting))
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&ControlState) -> T) -> T {
        read(&self.0.load())
    }

    pub(super) fn store(&self, state: ControlState) {
        self.0.store(Arc::new(state));
    }
}

//! Which tenants want sealed messages and signed commands.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::domain::id::TenantId;

/// What each tenant wants. It is asked with every frame, so it answers at once from memory.
pub trait TenantPolicy: Send + Sync {
    /// Whether what the tenant is told is sealed.
    fn is_sealed(&self, tenant: &TenantId) -> bool;

    /// Whether the tenant's commands must be signed.
    fn requires_signatures(&self, tenant: &TenantId) -> bool;
}

/// A switch for each tenant, off at first.
#[derive(Debug, Default)]
pub struct Switches {
    sealed: Switched,
    signed: Switched,
}

/// The tenants that one switch is on for.
#[derive(Debug, Default)]
struct Switched {
    /// Nobody takes the lock where there is no such tenant.
    is_any: AtomicBool,
    tenants: RwLock<HashSet<TenantId>>,
}

impl Switched {
    fn is_on(&self, tenant: &TenantId) -> bool {
        self.is_any.load(Ordering::Acquire) && self.tenants.read().contains(tenant)
    }

    fn set(&self, tenant: &TenantId, is_on: bool) {
        let mut tenants = self.tenants.write();
        if is_on {
            tenants.insert(tenant.clone())
        } else {
            tenants.remove(tenant)
        };
        self.is_any.store(!tenants.is_empty(), Ordering::Release);
    }
}

impl Switches {
    /// Seals what the tenant is told from now on, or no more.
    pub fn seal(&self, tenant: &TenantId, is_on: bool) {
        self.sealed.set(tenant, is_on);
    }

    /// Takes only signed commands of the tenant from now on, or others as well.
    pub fn require_signatures(&self, tenant: &TenantId, is_on: bool) {
        self.signed.set(tenant, is_on);
    }
}

impl TenantPolicy for Switches {
    fn is_sealed(&self, tenant: &TenantId) -> bool {
        self.sealed.is_on(tenant)
    }

    fn requires_signatures(&self, tenant: &TenantId) -> bool {
        self.signed.is_on(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_switches_of_its_own() {
        let (switches, a, b) = (Switches::default(), TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        switches.seal(&a, true);
        switches.require_signatures(&b, true);
        assert!(switches.is_sealed(&a) && !switches.is_sealed(&b));
        assert!(switches.requires_signatures(&b) && !switches.requires_signatures(&a));
        switches.seal(&a, false);
        switches.require_signatures(&b, false);
        assert!(!switches.is_sealed(&a) && !switches.requires_signatures(&b));
    }
}

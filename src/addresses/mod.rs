//! From which addresses callers may come: for all by the settings of the process, and for each
//! tenant by its own.
//!
//! The lists for all are asked before a token is looked at. Those of a tenant are asked once the
//! token has told which one it is, and again of its streams when they change.

mod countries;
mod rules;

use std::net::IpAddr;
use std::sync::Arc;

use metrics::Counter;

pub use self::countries::{Countries, CountriesError};
pub use self::rules::{DenialReason, Rules};
use crate::control::Current;
use crate::domain::principal::Principal;
use crate::domain::setting::{
    ALLOW_ADDRESSES, ALLOW_COUNTRIES, DENY_ADDRESSES, DENY_COUNTRIES, Setting, TenantSettings,
};
use crate::security::{EventKind, NoSecurity, Security, SecurityEvent};
use crate::telemetry::metrics::ADDRESSES_DENIED_TOTAL;
use crate::wire::api_error::ApiError;
use crate::wire::error_code::Code;

/// An address that is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not let in")]
pub struct AddressDenied;

/// The lists, and what answers for countries.
pub struct Addresses {
    rules: Rules,
    countries: Option<Arc<Countries>>,
    settings: Current,
    security: Arc<dyn Security>,
    denied: [Counter; DenialReason::ALL.len()],
}

impl Addresses {
    /// Lists for all, and those of tenants by their settings.
    pub fn new(rules: Rules, countries: Option<Arc<Countries>>, settings: Current, security: Arc<dyn Security>) -> Self {
        let denied = DenialReason::ALL.map(|reason| {
            let counter = metrics::counter!(ADDRESSES_DENIED_TOTAL, "reason" => reason.as_str());
            // An alert on a counter that is not there yet would sleep through its first step.
            counter.increment(0);
            counter
        });
        Self { rules, countries, settings, security, denied }
    }

    /// No lists at all.
    pub fn none() -> Self {
        Self::new(Rules::default(), None, Current::default(), Arc::new(NoSecurity))
    }

    /// Whether countries of addresses are known, so that lists may name them.
    pub fn knows_countries(&self) -> bool {
        self.countries.is_some()
    }

    /// Asks the lists for all.
    ///
    /// # Errors
    /// One keeps the address out.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressDenied> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let Some(reason) = self.rules.denial(address, |address| self.country(address)) else { return Ok(()) };
        self.count(reason);
        self.security.record(event(address, reason));
        Err(AddressDenied)
    }

    /// Whether a connection from there is dropped before it says anything. Only networks that
    /// are denied by name are: the others may ask whether the service is alive. So may this host.
    pub fn drops_connection(&self, peer: IpAddr) -> bool {
        if self.rules.deny.is_empty() || peer.to_canonical().is_loopback() {
            return false;
        }
        let is_dropped = self.rules.deny.iter().any(|network| network.contains(peer));
        if is_dropped {
            self.count(DenialReason::DenyAddresses);
        }
        is_dropped
    }

    /// Asks the lists of the caller's tenant.
    ///
    /// # Errors
    /// One keeps the address out.
    pub fn check_tenant(&self, principal: &Principal, address: IpAddr) -> Result<(), AddressDenied> {
        let denial = self.settings.settings(&principal.tenant, |settings| self.tenant_denial(settings, address));
        let Some(reason) = denial else { return Ok(()) };
        self.count(DenialReason::Tenant);
        self.security.record(event(address, reason).by(principal));
        Err(AddressDenied)
    }

    /// Which list of a tenant with such settings keeps the address out, if one does.
    pub fn tenant_denial(&self, settings: &TenantSettings, address: IpAddr) -> Option<DenialReason> {
        if settings.is_empty() {
            return None;
        }
        let networks = |setting: &'static Setting| -> Vec<_> {
            settings.texts(setting).iter().filter_map(|text| text.parse().ok()).collect()
        };
        let rules = Rules {
            allow: networks(&ALLOW_ADDRESSES),
            deny: networks(&DENY_ADDRESSES),
            allow_countries: settings.texts(&ALLOW_COUNTRIES).to_vec(),
            deny_countries: settings.texts(&DENY_COUNTRIES).to_vec(),
        };
        if rules.is_empty() { None } else { rules.denial(address, |address| self.country(address)) }
    }

    fn country(&self, address: IpAddr) -> Option<String> {
        self.countries.as_ref()?.country(address)
    }

    fn count(&self, reason: DenialReason) {
        self.denied[reason as usize].increment(1);
    }
}

fn event(address: IpAddr, reason: DenialReason) -> SecurityEvent {
    SecurityEvent::of(EventKind::AddressDenied).from(Some(address)).detail(reason.as_str())
}

impl From<AddressDenied> for ApiError {
    fn from(_: AddressDenied) -> Self {
        Self::of(Code::AddressDenied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_that_are_denied_by_name_are_dropped_and_never_this_host() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rules = Rules { deny: networks(&["0.0.0.0/0"]), allow: networks(&["10.0.0.0/8"]), ..Rules::default() };
        let addresses = Addresses::new(rules, None, Current::default(), Arc::new(NoSecurity));
        assert!(addresses.drops_connection([203, 0, 113, 1].into()));
        assert!(addresses.drops_connection("::ffff:203.0.113.1".parse().unwrap()));
        assert!(!addresses.drops_connection([127, 0, 0, 1].into()));
        assert!(!addresses.drops_connection("2001:db8::1".parse().unwrap()));
        assert_eq!(addresses.check([127, 0, 0, 1].into()), Err(AddressDenied));
        assert_eq!(addresses.check("2001:db8::1".parse().unwrap()), Err(AddressDenied), "it is in no list of those let in");
    }

    #[test]
    fn without_lists_everybody_is_let_in() {
        let addresses = Addresses::none();
        assert_eq!(addresses.check([203, 0, 113, 1].into()), Ok(()));
        assert!(!addresses.drops_connection([203, 0, 113, 1].into()));
        assert_eq!(addresses.tenant_denial(&TenantSettings::new(), [203, 0, 113, 1].into()), None);
    }
}

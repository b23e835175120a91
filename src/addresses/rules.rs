//! Which addresses are let in, by lists of networks and of countries.

use std::net::IpAddr;

use crate::domain::network::Network;

/// Lists of networks and countries. An address that two lists name goes by the first of these:
/// it is denied by network, let in by network, denied by country, let in by country. Where there
/// is a list of what is let in, nothing else is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Networks that are let in.
    pub allow: Vec<Network>,
    /// Networks that are not.
    pub deny: Vec<Network>,
    /// Countries that are let in, as two capital letters (ISO 3166-1).
    pub allow_countries: Vec<String>,
    /// Countries that are not.
    pub deny_countries: Vec<String>,
}

/// Which list keeps an address out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialReason {
    /// The networks that are denied.
    DenyAddresses,
    /// The countries that are denied.
    DenyCountries,
    /// It is in none of the lists of what is let in.
    NotAllowed,
    /// A list of the caller's tenant.
    Tenant,
}

impl DenialReason {
    pub const ALL: [Self; 4] = [Self::DenyAddresses, Self::DenyCountries, Self::NotAllowed, Self::Tenant];

    /// Its name in metrics and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DenyAddresses => "deny_addresses",
            Self::DenyCountries => "deny_countries",
            Self::NotAllowed => "not_allowed",
            Self::Tenant => "tenant",
        }
    }
}

impl Rules {
    /// Whether everybody is let in.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && !self.names_countries()
    }

    /// Whether a country matters.
    pub fn names_countries(&self) -> bool {
        !self.allow_countries.is_empty() || !self.deny_countries.is_empty()
    }

    /// Which list keeps `address` out, if one does. `country` is asked only where it matters; an
    /// address of no known country is in no list of countries.
    pub fn denial(&self, address: IpAddr, country: impl FnOnce(IpAddr) -> Option<String>) -> Option<DenialReason> {
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        if is_in(&self.deny) {
            return Some(DenialReason::DenyAddresses);
        }
        if is_in(&self.allow) {
            return None;
        }
        let country = if self.names_countries() { country(address) } else { None };
        let is_of = |countries: &[String]| country.as_ref().is_some_and(|country| countries.contains(country));
        if is_of(&self.deny_countries) {
            return Some(DenialReason::DenyCountries);
        }
        let lets_all_in = self.allow.is_empty() && self.allow_countries.is_empty();
        (!lets_all_in && !is_of(&self.allow_countries)).then_some(DenialReason::NotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str], allow_countries: &[&str], deny_countries: &[&str]) -> Rules {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let names = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Rules {
            allow: networks(allow),
            deny: networks(deny),
            allow_countries: names(allow_countries),
            deny_countries: names(deny_countries),
        }
    }

    fn country(address: IpAddr) -> Option<String> {
        match address.to_string().as_str() {
            "2.0.0.1" => Some("FR".to_owned()),
            "3.0.0.1" => Some("US".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_first_list_that_names_an_address_counts() {
        use DenialReason::{DenyAddresses, DenyCountries, NotAllowed};
        for (rules, address, expected) in [
            (rules(&[], &[], &[], &[]), "2.0.0.1", None),
            (rules(&[], &["2.0.0.0/8"], &[], &[]), "2.0.0.1", Some(DenyAddresses)),
            (rules(&[], &["2.0.0.0/8"], &[], &[]), "::ffff:2.0.0.1", Some(DenyAddresses)),
            (rules(&[], &["2.0.0.0/8"], &[], &[]), "3.0.0.1", None),
            (rules(&["2.0.0.0/8"], &["2.0.0.1"], &[], &[]), "2.0.0.1", Some(DenyAddresses)),
            (rules(&["2.0.0.0/8"], &[], &[], &[]), "3.0.0.1", Some(NotAllowed)),
            (rules(&["2.0.0.0/8"], &[], &[], &["FR"]), "2.0.0.1", None),
            (rules(&[], &[], &[], &["FR"]), "2.0.0.1", Some(DenyCountries)),
            (rules(&[], &[], &[], &["FR"]), "9.0.0.1", None),
            (rules(&[], &[], &["FR"], &[]), "2.0.0.1", None),
            (rules(&[], &[], &["FR"], &[]), "3.0.0.1", Some(NotAllowed)),
            (rules(&[], &[], &["FR"], &[]), "9.0.0.1", Some(NotAllowed)),
            (rules(&["9.0.0.0/8"], &[], &["FR"], &[]), "9.0.0.1", None),
            (rules(&["fd00::/8"], &[], &[], &[]), "fd12::1", None),
            (rules(&["fd00::/8"], &[], &[], &[]), "fe80::1", Some(NotAllowed)),
        ] {
            assert_eq!(rules.denial(address.parse().unwrap(), country), expected, "{rules:?} {address}");
        }
    }

    #[test]
    fn countries_are_looked_up_only_where_they_matter() {
        let rules = rules(&["2.0.0.0/8"], &["3.0.0.0/8"], &[], &[]);
        for address in ["2.0.0.1", "3.0.0.1", "9.0.0.1"] {
            rules.denial(address.parse().unwrap(), |_| panic!("nobody asks"));
        }
    }
}

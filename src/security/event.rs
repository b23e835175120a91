//! A security event, as whoever notices it reports it.

use std::net::IpAddr;

use crate::domain::id::TenantId;
use crate::domain::principal::Principal;

/// The kinds of security events: a constant of each with its name, and all of them.
macro_rules! kinds {
    ($($kind:ident $name:literal $meaning:literal,)*) => {
        /// The kind of a security event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $(#[doc = $meaning] $kind,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As on the wire, in the log and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    TokenRefused "token_refused" "A token or ticket that proves nobody.",
    Forbidden "forbidden" "What the caller's role or rights do not allow.",
    Limited "limited" "A limit was reached.",
    Replayed "replayed" "A signed request that came before.",
    AddressDenied "address_denied" "An address that is not let in.",
    TokenIssued "token_issued" "An operator had a token made.",
    TokenRenewed "token_renewed" "A stream goes on with a token of another role or participant.",
    RevocationAdded "revocation_added" "Tokens were revoked.",
    RevocationRemoved "revocation_removed" "A revocation was taken back.",
    SettingsChanged "settings_changed" "Settings of the tenant were changed.",
    KeysChanged "keys_changed" "The keys that prove tokens have changed.",
    Anomaly "anomaly" "A principal or address has left its usual range.",
}

/// A security event. It never holds a secret: neither a token nor a key, nor a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Its kind.
    pub kind: EventKind,
    /// The tenant it belongs to; an event of none is in the log alone.
    pub tenant: Option<TenantId>,
    /// Whom it concerns.
    pub subject: Option<String>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// What else there is to say.
    pub detail: String,
}

impl SecurityEvent {
    /// An event with nothing to say but its kind.
    pub const fn of(kind: EventKind) -> Self {
        Self { kind, tenant: None, subject: None, address: None, detail: String::new() }
    }

    /// The same, concerning a proven caller.
    pub fn by(self, principal: &Principal) -> Self {
        Self { tenant: Some(principal.tenant.clone()), subject: Some(principal.subject.clone()), ..self }
    }

    /// The same, from an address.
    pub fn from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same, with more to say.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

/// Takes security events. Nobody waits for it, and it never fails: what it cannot take it counts.
pub trait Security: Send + Sync {
    /// Reports an event.
    fn record(&self, event: SecurityEvent);

    /// Counts a command of a caller, whatever became of it.
    fn count_command(&self, principal: &Principal);
}

/// Drops every event.
pub struct NoSecurity;

impl Security for NoSecurity {
    fn record(&self, _: SecurityEvent) {}

    fn count_command(&self, _: &Principal) {}
}

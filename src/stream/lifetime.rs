//! When a stream ends though nobody acts: with its caller's token, with the revocation of that,
//! or with its instance.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Streams;
use crate::auth::UNKNOWN;
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::wire::close::Close;

/// A timer that is asked for more would be refused.
const LONGEST_MS: u64 = 24 * 3_600_000;

/// While it is not known what is revoked, a stream that nobody wakes looks again after this time.
const RECHECK_INTERVAL: Duration = Duration::from_millis(250);

/// What a stream may do by its caller's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Good,
    /// It tells nothing until it is known what is revoked.
    Unknown,
    /// It ends: the token is revoked.
    Revoked,
    /// It ends: its caller's address is not let in any more.
    Excluded,
}

impl Standing {
    /// Why it ends, if it does.
    pub const fn close(self) -> Option<Close> {
        match self {
            Self::Good | Self::Unknown => None,
            Self::Revoked => Some(Close::TokenRefused),
            Self::Excluded => Some(Close::NotAllowed),
        }
    }
}

/// How long a stream may go on.
#[derive(Debug)]
pub struct Lifetime {
    /// When its token ends, by cluster time.
    token_end: Option<Timestamp>,
    /// When to look at the token again: this host's timers only follow cluster time.
    look_at: Option<Instant>,
    /// When it goes, since its instance does.
    leave_at: Option<Instant>,
    /// The generation of revocations that its token was last checked against.
    checked: u64,
    /// When to ask again, as it was not known what is revoked.
    recheck_at: Option<Instant>,
}

impl Lifetime {
    /// As long as the caller's token.
    pub fn of(principal: &Principal, now: Timestamp) -> Self {
        let mut lifetime =
            Self { token_end: principal.expires_at, look_at: None, leave_at: None, checked: UNKNOWN, recheck_at: None };
        lifetime.look(now);
        lifetime
    }

    /// As long as another token.
    pub fn renew(&mut self, principal: &Principal, now: Timestamp) {
        self.token_end = principal.expires_at;
        self.checked = UNKNOWN;
        self.look(now);
    }

    fn look(&mut self, now: Timestamp) {
        self.look_at = self.token_end.map(|end| {
            let left = u64::try_from(end.as_ms().saturating_sub(now.as_ms())).unwrap_or(0);
            Instant::now() + Duration::from_millis(left.min(LONGEST_MS))
        });
    }

    /// A stop has begun: each goes at its own instant, so that they do not all come back at once.
    pub fn prepare_to_leave(&mut self, streams: &Streams) {
        if self.leave_at.is_none() && streams.parts.shutdown.is_begun() {
            self.leave_at = Some(Instant::now() + streams.share_of_drain());
        }
    }

    /// Whether it is time to go, since the instance does.
    pub fn is_to_leave(&self, now: Instant) -> bool {
        self.leave_at.is_some_and(|at| now >= at)
    }

    /// Whether the token has ended.
    pub fn check_token(&self, now: Timestamp) -> Result<(), Close> {
        match self.token_end {
            Some(end) if now >= end => Err(Close::TokenRefused),
            _ => Ok(()),
        }
    }

    /// The same, and when to look again.
    pub fn look_at_token(&mut self, now: Timestamp) -> Result<(), Close> {
        self.look(now);
        self.check_token(now)
    }

    /// Whether the token of `principal` is still good, and its tenant still lets its address in.
    /// Both are looked for only after what is revoked, or a list of addresses, has changed.
    pub fn standing(&mut self, streams: &Streams, principal: &Principal, address: IpAddr) -> Standing {
        let validity = streams.parts.authenticator.validity();
        let generation = validity.generation();
        if generation == UNKNOWN {
            self.recheck_at = Some(Instant::now() + RECHECK_INTERVAL);
            return Standing::Unknown;
        }
        self.recheck_at = None;
        if generation != self.checked {
            if validity.is_revoked(principal, streams.parts.clock.now()) {
                return Standing::Revoked;
            }
            if streams.parts.addresses.check_tenant(principal, address).is_err() {
                return Standing::Excluded;
            }
            self.checked = generation;
        }
        Standing::Good
    }

    /// Whether it was not known what is revoked when it was last asked.
    pub fn is_held(&self) -> bool {
        self.recheck_at.is_some()
    }

    /// When there is something to look at, but for leaving.
    pub fn token_at(&self) -> Option<Instant> {
        [self.look_at, self.recheck_at].into_iter().flatten().min()
    }

    /// When to leave.
    pub fn leave_at(&self) -> Option<Instant> {
        self.leave_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::principal::{Provenance, Role};

    fn bearer(expires_at: Option<i64>) -> Principal {
        Principal {
            tenant: TenantId::new("t").unwrap(),
            subject: "s".into(),
            role: Role::Viewer,
            participant_id: None,
            sessions: None,
            locations: None,
            expires_at: expires_at.map(Timestamp::from_ms),
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn a_stream_lasts_as_long_as_its_token() {
        let mut lifetime = Lifetime::of(&bearer(Some(1_000)), Timestamp::from_ms(0));
        assert_eq!(lifetime.look_at_token(Timestamp::from_ms(999)), Ok(()));
        assert_eq!(lifetime.look_at_token(Timestamp::from_ms(1_000)), Err(Close::TokenRefused));
        lifetime.renew(&bearer(Some(2_000)), Timestamp::from_ms(1_000));
        assert_eq!(lifetime.check_token(Timestamp::from_ms(1_999)), Ok(()));
        lifetime.renew(&bearer(None), Timestamp::from_ms(1_999));
        assert_eq!((lifetime.check_token(Timestamp::NEVER), lifetime.token_at()), (Ok(()), None));
    }

    #[test]
    fn a_token_for_ages_is_looked_at_once_a_day() {
        let lifetime = Lifetime::of(&bearer(Some(i64::MAX)), Timestamp::from_ms(0));
        assert!(lifetime.token_at().unwrap() <= Instant::now() + Duration::from_millis(LONGEST_MS));
    }
}

//! Credits network lag: never more than it was, and never on the client's word alone.

use super::control::{LagPolicy, SyncMode};
use super::{Owner, Session};
use crate::domain::time::Timestamp;

/// How much a claim may exceed the connection's measured lag.
const ALLOWANCE_MS: i64 = 140;

/// The longest a clock at zero waits for a switch under way.
const MAX_GRACE_MS: i64 = 2_000;

/// What one participant may be credited, all of it in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub start: i64,
    gain: i64,
    ceiling: i64,
}

impl Allowance {
    /// From the estimated length of play: base and forty increments.
    pub fn of(policy: LagPolicy, base_ms: i64, increment_ms: i64) -> Self {
        let estimate_ms = base_ms.saturating_add(increment_ms.saturating_mul(40));
        let gain = 10 * (estimate_ms.saturating_mul(2) / 5_000 + 15).min(100);
        let scaled = |ms: i64| match policy {
            LagPolicy::None => 0,
            LagPolicy::Strict => ms / 2,
            LagPolicy::Standard => ms,
            LagPolicy::Friendly => ms * 2,
        };
        Self { start: scaled(3 * gain), gain: scaled(gain), ceiling: scaled(7 * gain) }
    }

    /// The quota after a cycle, what the cycle was given taken off before.
    pub fn after_cycle(self, quota_ms: i64) -> i64 {
        (quota_ms + self.gain).min(self.ceiling)
    }
}

/// How a claim was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Judged {
    pub credited_ms: i64,
    pub refused_ms: i64,
}

/// Judges a claim of having acted at `acted_at`.
pub(super) fn judge(
    elapsed_ms: i64,
    acted_at: Option<Timestamp>,
    now: Timestamp,
    quota_ms: i64,
    connection_ms: i64,
) -> Judged {
    let claimed = acted_at.map_or(0, |at| now.since(at).clamp(0, elapsed_ms));
    let credited_ms = claimed.min(quota_ms).min(connection_ms.max(0).saturating_add(ALLOWANCE_MS));
    Judged { credited_ms, refused_ms: claimed - credited_ms }
}

impl Session {
    /// What `seat` may be credited over the session.
    pub(super) fn allowance(&self, seat: usize) -> Allowance {
        let owner = self.owner_of(seat);
        let base = match self.sync_mode {
            SyncMode::PerCycle => self.rules.time_per_cycle_ms,
            _ => self.bank(owner).base_ms,
        };
        Allowance::of(self.rules.lag_policy, base.unwrap_or(0), self.rules.increment_ms)
    }

    /// Takes what a cycle was credited off the quota of the active participant.
    pub(super) fn spend_quota(&mut self, credited_ms: i64) {
        if let Some(seat) = self.active {
            self.participant_mut(seat).lag_quota_ms -= credited_ms;
        }
    }

    /// Every cycle earns its seat some quota again.
    pub(super) fn gain_quota(&mut self, seat: usize) {
        let allowance = self.allowance(seat);
        let quota_ms = &mut self.participant_mut(seat).lag_quota_ms;
        *quota_ms = allowance.after_cycle(*quota_ms);
    }

    /// How long the running clock, once at zero, waits for a switch under way.
    pub(super) fn grace_ms(&self) -> i64 {
        self.quota_ms().min(MAX_GRACE_MS)
    }

    /// Judges the lag a switch claims against the running clock.
    pub(super) fn judge_lag(&self, owner: Owner, acted_at: Option<Timestamp>, lag_ms: i64, now: Timestamp) -> Judged {
        let elapsed = self.bank(owner).anchor.map_or(0, |anchor| now.since(anchor));
        judge(elapsed, acted_at, now, self.quota_ms(), lag_ms)
    }

    /// What the active participant may still be credited; nothing without a policy.
    fn quota_ms(&self) -> i64 {
        self.active_participant().map_or(0, |active| active.lag_quota_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_without_increment_earns_what_the_table_says() {
        let standard = Allowance::of(LagPolicy::Standard, 60_000, 0);
        assert_eq!((standard.gain, standard.start, standard.ceiling), (390, 1_170, 2_730));
        let strict = Allowance::of(LagPolicy::Strict, 60_000, 0);
        assert_eq!((strict.gain, strict.start, strict.ceiling), (195, 585, 1_365));
        assert_eq!(Allowance::of(LagPolicy::None, 60_000, 0).start, 0);
    }

    #[test]
    fn a_forged_claim_gains_the_connections_lag_and_the_allowance() {
        let now = Timestamp::from_ms(100_000);
        let claim = |at: i64| judge(10_000, Some(Timestamp::from_ms(at)), now, 1_000, 20);
        assert_eq!(claim(0), Judged { credited_ms: 160, refused_ms: 9_840 });
        assert_eq!(claim(i64::MAX), Judged::default());
        assert_eq!(claim(i64::MIN), Judged { credited_ms: 160, refused_ms: 9_840 });
        assert_eq!(claim(99_950), Judged { credited_ms: 50, refused_ms: 0 });
    }
}

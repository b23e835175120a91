//! One clock: what it holds at its anchor, and how time is taken from it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::control::{Delay, Overtime, Rules, TimeControl};
use super::skip::is_default;
use crate::domain::time::Timestamp;

/// Where one clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Main time, in a stage counted from 0.
    Main {
        /// Entries of `stages` behind it.
        stage: u32,
    },
    /// In a byo-yomi period, counted from 1.
    Byoyomi {
        /// Which.
        period: u32,
    },
    /// In a Canadian block.
    Canadian {
        /// Cycles still to be made in it.
        cycles_left: u32,
    },
    /// The cycle's own time is out; the reserve runs.
    Reserve,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Main { stage: 0 }
    }
}

/// A clock. It runs while it has an anchor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bank {
    /// What it had first; what a reset gives back.
    #[serde(skip_serializing_if = "is_default")]
    pub base_ms: Option<i64>,
    /// What it holds at the anchor; `None` cannot run out.
    #[serde(skip_serializing_if = "is_default")]
    pub left_ms: Option<i64>,
    /// All that was charged to it.
    #[serde(skip_serializing_if = "is_default")]
    pub used_ms: i64,
    /// All that was granted to it: used and left together.
    #[serde(skip_serializing_if = "is_default")]
    pub granted_ms: i64,
    /// What ran past zero under `continue`.
    #[serde(skip_serializing_if = "is_default")]
    pub overrun_ms: i64,
    /// Where it is.
    #[serde(skip_serializing_if = "is_default")]
    pub phase: Phase,
    /// From when this reckoning counts; `None` while it stands still.
    #[serde(skip_serializing_if = "is_default")]
    pub anchor: Option<Timestamp>,
    /// What is left of a simple delay at the anchor.
    #[serde(skip_serializing_if = "is_default")]
    pub delay_left_ms: i64,
    /// This cycle charges nothing and has no deadline.
    #[serde(skip_serializing_if = "is_default")]
    pub is_free: bool,
    /// Finished cycles.
    #[serde(skip_serializing_if = "is_default")]
    pub cycle_count: u32,
    /// Finished cycles of the present stage.
    #[serde(skip_serializing_if = "is_default")]
    pub stage_cycles: u32,
    /// It ran out in the present cycle, which counts as finished since then.
    #[serde(skip_serializing_if = "is_default")]
    pub is_counted: bool,
    /// When it ran out.
    #[serde(skip_serializing_if = "is_default")]
    pub expired_at: Option<Timestamp>,
    /// Simultaneous: why it stands still.
    #[serde(skip_serializing_if = "is_default")]
    pub reasons: BTreeSet<String>,
    /// Of the reasons, those its own participant gave: only these it may take back.
    #[serde(skip_serializing_if = "is_default")]
    pub own_reasons: BTreeSet<String>,
    /// Simultaneous: it has ended well.
    #[serde(skip_serializing_if = "is_default")]
    pub is_completed: bool,
}

impl Bank {
    /// Whether it is as created. Every write compares it, so the default is made once.
    pub(super) fn is_unused(&self) -> bool {
        static UNUSED: LazyLock<Bank> = LazyLock::new(Bank::default);
        *self == *UNUSED
    }

    /// A clock that holds `base_ms`; in overtime at once if that is zero.
    pub fn new(base_ms: Option<i64>, control: &TimeControl) -> Self {
        let granted_ms = base_ms.unwrap_or(0);
        let mut bank = Self { base_ms, left_ms: base_ms, granted_ms, ..Self::default() };
        if base_ms == Some(0) {
            bank.enter_overtime(control);
        }
        bank
    }

    /// A bank of its own at its creation. One of zero that only an increment or a give-back
    /// makes playable opens with it; nobody could make a first move otherwise.
    pub(super) fn opening(base_ms: Option<i64>, control: &TimeControl, rules: &Rules) -> Self {
        let mut bank = Self::new(base_ms, control);
        if bank.left_ms == Some(0) {
            let delay = match control.delay {
                Some(Delay::Bronstein { delay_ms }) => delay_ms,
                _ => 0,
            };
            bank.credit(control.increment_in(0, rules.increment_ms).max(delay), rules.max_time_ms);
        }
        bank
    }

    /// The stage of the main time it is in or was in last.
    pub const fn stage(&self) -> u32 {
        match self.phase {
            Phase::Main { stage } => stage,
            _ => 0,
        }
    }

    pub(super) const fn is_main(&self) -> bool {
        matches!(self.phase, Phase::Main { .. })
    }

    /// Nothing is left that could be played with.
    pub(super) fn is_empty(&self) -> bool {
        self.left_ms == Some(0) && self.delay_left_ms == 0 && !self.is_free
    }

    /// Adds (or takes) time; a bank holds no less than nothing.
    pub(super) fn grant(&mut self, ms: i64) {
        if let Some(left) = self.left_ms {
            let now = left.saturating_add(ms).max(0);
            self.granted_ms = self.granted_ms.saturating_add(now - left);
            self.left_ms = Some(now);
        }
    }

    /// Adds time, but lifts the bank no higher than `cap_ms`.
    pub(super) fn credit(&mut self, ms: i64, cap_ms: Option<i64>) {
        let left = self.left_ms.unwrap_or(0);
        let room = cap_ms.map_or(i64::MAX, |cap| (cap - left).max(0));
        self.grant(ms.min(room));
    }

    /// Sets what it holds.
    pub(super) fn refill(&mut self, to_ms: i64) {
        self.grant(to_ms - self.left_ms.unwrap_or(0));
    }

    /// Begins the reckoning at `at` of a cycle with `cycles_before` behind it.
    pub(super) fn begin(&mut self, at: Timestamp, control: &TimeControl, cycles_before: u32) {
        self.is_free = cycles_before < control.free_cycles;
        self.delay_left_ms = match control.delay_in(self.stage()) {
            Some(Delay::Simple { delay_ms }) if self.is_main() && !self.is_free => delay_ms,
            _ => 0,
        };
        self.is_counted = false;
        if self.left_ms != Some(0) {
            // Sand that came back: past zero one may go on, with time one does.
            self.expired_at = None;
        }
        self.anchor = Some(at);
    }

    /// Takes what ran since the anchor, less `credit_ms`, and goes on from `now`.
    pub(super) fn charge(&mut self, now: Timestamp, credit_ms: i64) -> i64 {
        let Some(anchor) = self.anchor else { return 0 };
        self.anchor = Some(now.max(anchor));
        let ran = (now.since(anchor) - credit_ms).max(0);
        if self.is_free {
            return 0;
        }
        let waited = ran.min(self.delay_left_ms);
        self.delay_left_ms -= waited;
        let charged = (ran - waited).min(self.left_ms.unwrap_or(i64::MAX));
        self.left_ms = self.left_ms.map(|left| left - charged);
        self.used_ms = self.used_ms.saturating_add(charged);
        if self.expired_at.is_some() {
            self.overrun_ms = self.overrun_ms.saturating_add(ran - waited - charged);
        }
        charged
    }

    /// Whether what ran by `now`, less `credit_ms`, is all it had.
    pub(super) fn is_out(&self, now: Timestamp, credit_ms: i64) -> bool {
        self.dry_at().is_some_and(|dry| now - credit_ms >= dry)
    }

    /// When this reckoning runs dry; the next period or block may follow.
    pub(super) fn dry_at(&self) -> Option<Timestamp> {
        match (self.anchor, self.left_ms, self.expired_at) {
            (Some(anchor), Some(left), None) if !self.is_free => Some(anchor + self.delay_left_ms + left),
            _ => None,
        }
    }

    /// When it is out for good if nobody acts.
    pub(super) fn deadline(&self, control: &TimeControl) -> Option<Timestamp> {
        Some(self.dry_at()? + self.overtime_ahead(control))
    }

    /// Overtime that would still follow the present reckoning by itself.
    fn overtime_ahead(&self, control: &TimeControl) -> i64 {
        match (control.overtime, self.phase) {
            (Some(Overtime::Byoyomi { periods, period_ms }), Phase::Main { .. }) => i64::from(periods) * period_ms,
            (Some(Overtime::Byoyomi { periods, period_ms }), Phase::Byoyomi { period }) => {
                i64::from(periods - period) * period_ms
            }
            (Some(Overtime::Canadian { period_ms, .. }), Phase::Main { .. }) => period_ms,
            _ => 0,
        }
    }

    /// Enters the next period or block, if there is one.
    pub(super) fn enter_overtime(&mut self, control: &TimeControl) -> bool {
        let Some(overtime) = control.overtime else {
            return false;
        };
        self.phase = match (overtime, self.phase) {
            (Overtime::Byoyomi { .. }, Phase::Main { .. }) => Phase::Byoyomi { period: 1 },
            (Overtime::Byoyomi { periods, .. }, Phase::Byoyomi { period }) if period < periods => {
                Phase::Byoyomi { period: period + 1 }
            }
            (Overtime::Canadian { cycles, .. }, Phase::Main { .. }) => Phase::Canadian { cycles_left: cycles },
            _ => return false,
        };
        self.delay_left_ms = 0;
        self.refill(overtime.period_ms());
        true
    }

    /// Counts a finished cycle; false if it counts already because it ran out.
    pub(super) fn count_cycle(&mut self) -> bool {
        if self.is_counted {
            return false;
        }
        self.is_counted = true;
        self.cycle_count += 1;
        self.stage_cycles += 1;
        true
    }

    /// Stands still, its cycle behind it.
    pub(super) fn stop(&mut self) {
        self.anchor = None;
        self.forget_the_waiting();
    }

    /// Neither a free cycle nor a delay stands between it and its deadline.
    pub(super) fn forget_the_waiting(&mut self) {
        self.is_free = false;
        self.delay_left_ms = 0;
    }

    /// Stands still for one more reason. A reason belongs to the caller that gave it first, or to
    /// an operator that gives it later.
    pub(super) fn pause_for(&mut self, reason: &str, by_participant: bool) {
        let is_new = self.reasons.insert(reason.to_owned());
        if by_participant && is_new {
            self.own_reasons.insert(reason.to_owned());
        } else if !by_participant {
            self.own_reasons.remove(reason);
        }
    }

    /// Takes a reason back, or all that the caller may; false if there is none.
    pub(super) fn lift_reasons(&mut self, reason: Option<&str>, by_participant: bool) -> bool {
        if !by_participant {
            let is_lifted = lift(&mut self.reasons, reason);
            self.own_reasons.retain(|own| self.reasons.contains(own));
            return is_lifted;
        }
        let before = self.own_reasons.clone();
        let is_lifted = lift(&mut self.own_reasons, reason);
        let Self { reasons, own_reasons, .. } = self;
        reasons.retain(|reason| !before.contains(reason) || own_reasons.contains(reason));
        is_lifted
    }

    /// No reason stands any more.
    pub(super) fn clear_reasons(&mut self) {
        self.reasons.clear();
        self.own_reasons.clear();
    }

    /// What a cycle that ends in time earns: delay given back, increment, stage, refill.
    pub(super) fn earn(&mut self, cycle_used_ms: i64, earned: &Earned<'_>) {
        match self.phase {
            Phase::Main { stage } => self.earn_main(stage, cycle_used_ms, earned),
            // Time given by hand is not taken away by a refill.
            Phase::Byoyomi { .. } => self.refill(earned.period_ms().max(self.left_ms.unwrap_or(0))),
            Phase::Canadian { cycles_left } if cycles_left > 1 => {
                self.phase = Phase::Canadian { cycles_left: cycles_left - 1 };
            }
            Phase::Canadian { .. } => self.open_block(earned.control),
            Phase::Reserve => {}
        }
    }

    fn earn_main(&mut self, stage: u32, cycle_used_ms: i64, earned: &Earned<'_>) {
        if !self.is_free {
            if let Some(Delay::Bronstein { delay_ms }) = earned.control.delay_in(stage) {
                self.credit(cycle_used_ms.min(delay_ms), earned.cap_ms);
            }
            self.credit(earned.control.increment_in(stage, earned.increment_ms), earned.cap_ms);
        }
        if let Some(entry) = earned.control.stages.get(stage as usize)
            && self.stage_cycles >= entry.cycles
        {
            self.credit(entry.add_ms, earned.cap_ms);
            self.phase = Phase::Main { stage: stage + 1 };
            self.stage_cycles = 0;
        }
    }

    fn open_block(&mut self, control: &TimeControl) {
        if let Some(Overtime::Canadian { cycles, period_ms }) = control.overtime {
            self.phase = Phase::Canadian { cycles_left: cycles };
            self.refill(period_ms);
        }
    }

    /// What it shows at `now`: the rest of the main time, period or block.
    pub fn remaining(&self, now: Timestamp, control: &TimeControl) -> Option<i64> {
        let left = self.left_ms?;
        let Some(dry) = self.dry_at() else {
            return Some(left);
        };
        if now < dry {
            let ran = self.anchor.map_or(0, |anchor| now.since(anchor));
            return Some(left - (ran - self.delay_left_ms).max(0));
        }
        let ahead = self.overtime_ahead(control) - now.since(dry);
        Some(if ahead > 0 { rest_of_period(ahead, control) } else { 0 })
    }
}

/// Of `ahead_ms` of overtime, what is left of the period it falls in.
fn rest_of_period(ahead_ms: i64, control: &TimeControl) -> i64 {
    let period = control.overtime.map_or(1, Overtime::period_ms);
    (ahead_ms - 1) % period + 1
}

/// Takes a reason back, or all of them; false if it does not stand.
pub(super) fn lift(reasons: &mut BTreeSet<String>, reason: Option<&str>) -> bool {
    match reason {
        Some(reason) => reasons.remove(reason),
        None => !std::mem::take(reasons).is_empty(),
    }
}

/// What a finished cycle earns by.
pub(super) struct Earned<'a> {
    pub control: &'a TimeControl,
    pub increment_ms: i64,
    pub cap_ms: Option<i64>,
}

impl Earned<'_> {
    fn period_ms(&self) -> i64 {
        self.control.overtime.map_or(0, Overtime::period_ms)
    }
}

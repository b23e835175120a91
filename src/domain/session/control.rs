//! How a clock behaves: what a session is created with and never changes by itself.

use serde::{Deserialize, Serialize};

use super::skip::is_default;

/// The most participants a session holds, and the most groups.
pub const MAX_PARTICIPANTS: usize = 1_024;

/// Whose clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Each participant's own.
    PerParticipant,
    /// The cycle's, full again at every switch.
    PerCycle,
    /// The active group's.
    PerGroup,
    /// One clock for the session.
    Global,
    /// Elapsed time from zero.
    CountUp,
}

impl SyncMode {
    /// Every mode there is.
    pub const ALL: &[Self] = &[Self::PerParticipant, Self::PerCycle, Self::PerGroup, Self::Global, Self::CountUp];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerParticipant => "per_participant",
            Self::PerCycle => "per_cycle",
            Self::PerGroup => "per_group",
            Self::Global => "global",
            Self::CountUp => "count_up",
        }
    }
}

/// One clock at a time, or all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// One clock at a time; a switch hands on.
    #[default]
    Exclusive,
    /// All at once; each pauses, completes and expires alone.
    Simultaneous,
}

/// Time at the start of a cycle that costs nothing (simple) or is given back (Bronstein).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Delay {
    /// The clock waits first.
    Simple {
        /// For how long.
        delay_ms: i64,
    },
    /// The clock runs; what was used, up to the delay, comes back.
    Bronstein {
        /// At most so much.
        delay_ms: i64,
    },
}

impl Delay {
    /// Its length.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Simple { delay_ms } | Self::Bronstein { delay_ms } => delay_ms,
        }
    }
}

/// What a multi-stage control renews after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// So many more cycles of its own lead to the next stage.
    pub cycles: u32,
    /// Added to what is left then.
    pub add_ms: i64,
    /// Holds from then; absent keeps what held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment_ms: Option<i64>,
    /// Holds from then; absent keeps what held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// What comes when the main time is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Overtime {
    /// A cycle within the period gets the period back; one that runs full is spent.
    Byoyomi {
        /// How many there are.
        periods: u32,
        /// How long each is.
        period_ms: i64,
    },
    /// So many cycles within each block.
    Canadian {
        /// Cycles a block.
        cycles: u32,
        /// How long a block is.
        period_ms: i64,
    },
}

impl Overtime {
    /// One period or block.
    pub const fn period_ms(self) -> i64 {
        match self {
            Self::Byoyomi { period_ms, .. } | Self::Canadian { period_ms, .. } => period_ms,
        }
    }
}

/// How a clock behaves beyond base and increment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeControl {
    /// Simple or Bronstein.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// In order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Byo-yomi or Canadian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overtime: Option<Overtime>,
    /// What one uses the other gains.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hourglass: bool,
    /// So many first cycles charge nothing, earn nothing and have no deadline.
    #[serde(skip_serializing_if = "is_default")]
    pub free_cycles: u32,
}

impl TimeControl {
    /// The increment that holds in `stage`, `base` being the first.
    pub fn increment_in(&self, stage: u32, base: i64) -> i64 {
        self.passed(stage).rev().find_map(|entry| entry.increment_ms).unwrap_or(base)
    }

    /// The delay that holds in `stage`.
    pub fn delay_in(&self, stage: u32) -> Option<Delay> {
        self.passed(stage).rev().find_map(|entry| entry.delay).or(self.delay)
    }

    fn passed(&self, stage: u32) -> std::slice::Iter<'_, Stage> {
        self.stages.iter().as_slice()[..(stage as usize).min(self.stages.len())].iter()
    }
}

/// The control of a clock that none is set for.
pub(super) static PLAIN: TimeControl =
    TimeControl { delay: None, stages: Vec::new(), overtime: None, hourglass: false, free_cycles: 0 };

/// An accepted bid moves the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftClose {
    /// Only when less than this is left.
    pub window_ms: i64,
    /// To this long after the bid.
    pub extension_ms: i64,
    /// The clock never gets more than this in all.
    pub max_total_ms: Option<i64>,
}

/// How much of the network's time is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LagPolicy {
    /// Nothing.
    #[default]
    None,
    /// Half the standard.
    Strict,
    /// As correspondence between two ordinary connections needs.
    Standard,
    /// Twice the standard.
    Friendly,
}

/// To whom a participant may hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandOn {
    /// To the next in turn order only.
    #[default]
    Next,
    /// To any other participant.
    Any,
}

/// What a participant may do with its own clock; operators may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// To whom a `switch` may hand on; to oneself never.
    pub hand_on: HandOn,
    /// In simultaneous sessions: pause its own clock, and take its own pauses back.
    pub self_pause: bool,
    /// In simultaneous sessions: complete its own clock.
    pub self_complete: bool,
}

impl Default for Rights {
    fn default() -> Self {
        Self { hand_on: HandOn::Next, self_pause: true, self_complete: true }
    }
}

/// What becomes of a running clock nobody could act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// Paused at the last proof of life.
    #[default]
    Pause,
    /// Charged as usual.
    Charge,
}

/// What happens when a clock runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The session ends, status `expired`.
    #[default]
    Expire,
    /// The next participant's clock starts at that exact instant.
    Advance,
    /// Paused with reason `timeout`.
    Pause,
    /// The session ends, status `completed`.
    Complete,
    /// It stays running at 0; the overrun is counted.
    Continue,
}

impl Action {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Advance => "advance",
            Self::Pause => "pause",
            Self::Complete => "complete",
            Self::Continue => "continue",
        }
    }
}

/// Everything a session's clocks go by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// One clock at a time, or all at once.
    #[serde(skip_serializing_if = "is_default")]
    pub concurrency: Concurrency,
    /// The session's own clock, or the default bank.
    #[serde(skip_serializing_if = "is_default")]
    pub total_time_ms: Option<i64>,
    /// The cycle's clock.
    #[serde(skip_serializing_if = "is_default")]
    pub time_per_cycle_ms: Option<i64>,
    /// Added when a cycle ends.
    #[serde(skip_serializing_if = "is_default")]
    pub increment_ms: i64,
    /// No credit lifts a bank above it; the end of a count-up.
    #[serde(skip_serializing_if = "is_default")]
    pub max_time_ms: Option<i64>,
    /// Beyond base and increment.
    #[serde(skip_serializing_if = "is_default")]
    pub time_control: TimeControl,
    /// For auctions.
    #[serde(skip_serializing_if = "is_default")]
    pub soft_close: Option<SoftClose>,
    /// What participants may do by themselves.
    #[serde(skip_serializing_if = "is_default")]
    pub rights: Rights,
    /// What the network took.
    #[serde(skip_serializing_if = "is_default")]
    pub lag_policy: LagPolicy,
    /// What an outage took.
    #[serde(skip_serializing_if = "is_default")]
    pub on_outage: OnOutage,
    /// The same as an action of `advance`.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_advance: bool,
    /// When a clock runs out.
    #[serde(skip_serializing_if = "is_default")]
    pub action_on_timeout: Action,
    /// A warning when so much is left, largest first.
    #[serde(skip_serializing_if = "is_default")]
    pub warnings_ms: Vec<i64>,
}

impl Rules {
    /// What happens when a clock runs out, `auto_advance` taken into account.
    pub const fn action(&self) -> Action {
        if self.auto_advance { Action::Advance } else { self.action_on_timeout }
    }
}

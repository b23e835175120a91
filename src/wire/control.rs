//! How a clock behaves, as a create and a participant's body say it.
//!
//! The rules' own types are tagged by `type`, and the library reads those from lists too.

use serde::Deserialize;

use crate::domain::session::control::{Delay, Overtime, Stage, TimeControl};

/// `time_control`. A null field counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeControlBody {
    delay: Option<DelayBody>,
    stages: Option<Vec<StageBody>>,
    overtime: Option<OvertimeBody>,
    hourglass: Option<bool>,
    free_cycles: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DelayKind {
    Simple,
    Bronstein,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayBody {
    #[serde(rename = "type")]
    kind: DelayKind,
    delay_ms: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageBody {
    cycles: u32,
    add_ms: i64,
    increment_ms: Option<i64>,
    delay: Option<DelayBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OvertimeKind {
    Byoyomi,
    Canadian,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OvertimeFields {
    #[serde(rename = "type")]
    kind: OvertimeKind,
    periods: Option<u32>,
    cycles: Option<u32>,
    period_ms: i64,
}

/// Each kind has a count of its own, and not that of the other.
#[derive(Debug, Deserialize)]
#[serde(try_from = "OvertimeFields")]
struct OvertimeBody(Overtime);

impl TryFrom<OvertimeFields> for OvertimeBody {
    type Error = &'static str;

    fn try_from(fields: OvertimeFields) -> Result<Self, &'static str> {
        let OvertimeFields { kind, periods, cycles, period_ms } = fields;
        match (kind, periods, cycles) {
            (OvertimeKind::Byoyomi, Some(periods), None) => Ok(Self(Overtime::Byoyomi { periods, period_ms })),
            (OvertimeKind::Canadian, None, Some(cycles)) => Ok(Self(Overtime::Canadian { cycles, period_ms })),
            (OvertimeKind::Byoyomi, ..) => Err("must have type, periods and period_ms where type is byoyomi"),
            (OvertimeKind::Canadian, ..) => Err("must have type, cycles and period_ms where type is canadian"),
        }
    }
}

impl From<DelayBody> for Delay {
    fn from(DelayBody { kind, delay_ms }: DelayBody) -> Self {
        match kind {
            DelayKind::Simple => Self::Simple { delay_ms },
            DelayKind::Bronstein => Self::Bronstein { delay_ms },
        }
    }
}

impl From<StageBody> for Stage {
    fn from(body: StageBody) -> Self {
        let StageBody { cycles, add_ms, increment_ms, delay } = body;
        Self { cycles, add_ms, increment_ms, delay: delay.map(Into::into) }
    }
}

impl From<TimeControlBody> for TimeControl {
    fn from(body: TimeControlBody) -> Self {
        Self {
            delay: body.delay.map(Into::into),
            stages: body.stages.unwrap_or_default().into_iter().map(Into::into).collect(),
            overtime: body.overtime.map(|body| body.0),
            hourglass: body.hourglass.unwrap_or_default(),
            free_cycles: body.free_cycles.unwrap_or_default(),
        }
    }
}

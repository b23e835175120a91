//! The time of the master that holds a deployment's clock, and the offset that is kept there: a
//! hash of `run_id` and `offset_ms`. What it means, whoever keeps the clock knows.

use crate::redis::{Argument, Redis, RedisError};
use crate::store::keys::Keys;

use super::scripts::SCRIPTS;

/// What the master says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterTime {
    /// Which process it is.
    pub run_id: String,
    /// Its time, in microseconds since the Unix epoch.
    pub server_us: i64,
    /// Which process an offset is kept for, and the offset in microseconds.
    pub kept: Option<(String, i64)>,
}

/// The master's clock, over a connection of its own: nothing else delays an answer.
pub struct RedisTime {
    redis: Redis,
    keys: Keys,
}

impl RedisTime {
    /// Over `redis`, which nobody else should use.
    #[must_use]
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Asks for all of it, in one round trip.
    pub async fn read(&self) -> Result<MasterTime, RedisError> {
        let answer = self.redis.run(&SCRIPTS.clock_get, &[self.keys.clock()], Vec::new()).await?;
        let parts: Vec<String> = answer.convert().map_err(|_| RedisError::protocol())?;
        parsed(parts).ok_or_else(RedisError::protocol)
    }

    /// Keeps `offset_us` for the process `run_id`, if that is the one that is asked and
    /// `seen` is what is kept. Gives whether it was.
    pub async fn keep(&self, run_id: &str, offset_us: i64, seen: Option<(&str, i64)>) -> Result<bool, RedisError> {
        let (seen_run, seen_offset) = seen.map_or_else(Default::default, |(run, us)| (run.to_owned(), printed(us)));
        let arguments = [run_id.to_owned(), printed(offset_us), seen_run, seen_offset];
        let arguments = arguments.into_iter().map(Argument::from).collect();
        let answer = self.redis.run(&SCRIPTS.clock_set, &[self.keys.clock()], arguments).await?;
        answer.convert::<i64>().map(|kept| kept == 1).map_err(|_| RedisError::protocol())
    }
}

fn parsed(parts: Vec<String>) -> Option<MasterTime> {
    let [seconds, micros, run_id, kept_run, kept_ms]: [String; 5] = parts.try_into().ok()?;
    let server_us = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let kept = if kept_run.is_empty() { None } else { Some((kept_run, offset_us(&kept_ms)?)) };
    Some(MasterTime { run_id, server_us, kept })
}

/// Milliseconds with three places, as they are kept.
fn printed(us: i64) -> String {
    let (sign, size) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
    format!("{sign}{}.{:03}", size / 1_000, size % 1_000)
}

/// Microseconds of what is kept; a person may have written it without places.
#[expect(clippy::cast_possible_truncation, reason = "an offset of centuries would be none")]
fn offset_us(ms: &str) -> Option<i64> {
    let us = (ms.parse::<f64>().ok()? * 1_000.0).round();
    us.is_finite().then_some(us as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_back_as_they_were_kept() {
        for us in [0, 1, -1, 999, -1_001, 3_600_000_123, -31_536_000_000_001, 1_767_225_600_000_123] {
            assert_eq!(offset_us(&printed(us)), Some(us), "{}", printed(us));
        }
        assert_eq!((offset_us("-5"), offset_us(""), offset_us("inf")), (Some(-5_000), None, None));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        let told = |parts: [&str; 5]| parsed(parts.map(str::to_owned).into());
        let expected = MasterTime { run_id: "a".into(), server_us: 12_000_034, kept: Some(("b".into(), -1_500)) };
        assert_eq!(told(["12", "34", "a", "b", "-1.500"]), Some(expected));
        assert_eq!(told(["12", "34", "a", "", ""]).map(|told| told.kept), Some(None));
        assert_eq!(told(["12", "x", "a", "", ""]), None);
        assert_eq!(told(["12", "34", "a", "b", ""]), None);
        assert_eq!(parsed(Vec::new()), None);
    }
}

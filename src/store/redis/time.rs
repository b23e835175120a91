//! The time of the master that holds a deployment's clock, and the offset stored there: a
//! hash of `run_id` and `offset_ms`. The cluster clock gives the offset its meaning.

use crate::redis::{Argument, Redis, RedisError};
use crate::store::keys::Keys;

use super::scripts::SCRIPTS;

/// The master's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterTime {
    /// Which process it is.
    pub run_id: String,
    /// Its time, in microseconds since the Unix epoch.
    pub server_us: i64,
    /// The process an offset is stored for, and the offset in microseconds.
    pub stored_offset: Option<(String, i64)>,
}

/// The master's clock, over a connection of its own, so that nothing else delays an answer.
pub struct RedisTime {
    redis: Redis,
    keys: Keys,
}

impl RedisTime {
    /// Over `redis`, which should serve nothing else.
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// Reads time, process and offset in one round trip.
    pub async fn read(&self) -> Result<MasterTime, RedisError> {
        let reply = self.redis.run(&SCRIPTS.clock_get, &[self.keys.clock()], Vec::new()).await?;
        let fields: Vec<String> = reply.convert().map_err(|_| RedisError::protocol())?;
        parse(fields).ok_or_else(RedisError::protocol)
    }

    /// Stores `offset_us` for the process `run_id`, if the master is that process and `seen`
    /// is the offset stored so far. Returns whether it did.
    pub async fn store_offset(
        &self,
        run_id: &str,
        offset_us: i64,
        seen: Option<(&str, i64)>,
    ) -> Result<bool, RedisError> {
        let (seen_run, seen_offset) = seen.map_or_else(Default::default, |(run, us)| (run.to_owned(), format_ms(us)));
        let arguments = [run_id.to_owned(), format_ms(offset_us), seen_run, seen_offset];
        let arguments = arguments.into_iter().map(Argument::from).collect();
        let reply = self.redis.run(&SCRIPTS.clock_set, &[self.keys.clock()], arguments).await?;
        reply.convert::<i64>().map(|is_stored| is_stored == 1).map_err(|_| RedisError::protocol())
    }
}

fn parse(fields: Vec<String>) -> Option<MasterTime> {
    let [seconds, micros, run_id, offset_run, offset_ms]: [String; 5] = fields.try_into().ok()?;
    let server_us = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let stored_offset = if offset_run.is_empty() { None } else { Some((offset_run, parse_ms(&offset_ms)?)) };
    Some(MasterTime { run_id, server_us, stored_offset })
}

/// Milliseconds with three decimals, as they are stored.
fn format_ms(us: i64) -> String {
    let (sign, size) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
    format!("{sign}{}.{:03}", size / 1_000, size % 1_000)
}

/// Stored milliseconds in microseconds; a person may have written them without decimals.
#[expect(clippy::cast_possible_truncation, reason = "an offset of centuries would be none")]
fn parse_ms(ms: &str) -> Option<i64> {
    let us = (ms.parse::<f64>().ok()? * 1_000.0).round();
    us.is_finite().then_some(us as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_back_as_they_were_stored() {
        for us in [0, 1, -1, 999, -1_001, 3_600_000_123, -31_536_000_000_001, 1_767_225_600_000_123] {
            assert_eq!(parse_ms(&format_ms(us)), Some(us), "{}", format_ms(us));
        }
        assert_eq!((parse_ms("-5"), parse_ms(""), parse_ms("inf")), (Some(-5_000), None, None));
    }

    #[test]
    fn an_invalid_reply_is_none() {
        let parse = |fields: [&str; 5]| super::parse(fields.map(str::to_owned).into());
        let expected =
            MasterTime { run_id: "a".into(), server_us: 12_000_034, stored_offset: Some(("b".into(), -1_500)) };
        assert_eq!(parse(["12", "34", "a", "b", "-1.500"]), Some(expected));
        assert_eq!(parse(["12", "34", "a", "", ""]).map(|time| time.stored_offset), Some(None));
        assert_eq!(parse(["12", "x", "a", "", ""]), None);
        assert_eq!(parse(["12", "34", "a", "b", ""]), None);
        assert_eq!(super::parse(Vec::new()), None);
    }
}

//! The offset of the deployment's clock.

use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::failure::Failure;
use crate::net::http::Http;
use crate::target::Target;

/// Exchanges made; the quickest one counts.
const EXCHANGES: usize = 12;

/// Their clock minus ours, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    ns: i64,
}

impl Offset {
    pub async fn measure(target: &Target) -> Result<Self, Failure> {
        let mut http = Http::new(target.instance(0), None);
        let request = target.request("GET", "/v1/time", "");
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..EXCHANGES {
            let sent = clock::wall_ns();
            let (response, arrival) = http.call(&request).await?;
            let theirs = theirs_ns(response.body()).ok_or_else(|| Failure::Deployment("no time".to_owned()))?;
            let round_trip = arrival.kernel_ns.saturating_sub(sent);
            let offset = Self { ns: theirs.wrapping_sub(sent + round_trip / 2).cast_signed() };
            if best.is_none_or(|(quickest, _)| round_trip < quickest) {
                best = Some((round_trip, offset));
            }
        }
        best.map(|(_, offset)| offset).ok_or_else(|| Failure::Deployment("no time".to_owned()))
    }

    /// That instant of ours, on their clock.
    pub fn on_theirs(self, ours_ns: u64) -> u64 {
        ours_ns.saturating_add_signed(self.ns)
    }

    pub fn ms(self) -> f64 {
        let size = Duration::from_nanos(self.ns.unsigned_abs()).as_secs_f64() * 1e3;
        if self.ns < 0 { -size } else { size }
    }
}

fn theirs_ns(body: &[u8]) -> Option<u64> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let seconds = body.get("timestamp_ms")?.as_f64()? / 1e3;
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_time_is_read_to_the_microsecond() {
        let ns = theirs_ns(br#"{"timestamp_ms":1767225600000.125}"#).unwrap();
        assert!(ns.abs_diff(1_767_225_600_000_125_000) < 1_000, "{ns}");
        assert_eq!(theirs_ns(b"{}"), None);
    }

    #[test]
    fn an_offset_has_a_sign() {
        let behind = Offset { ns: -2_500_000 };
        assert_eq!((behind.on_theirs(10_000_000), behind.ms()), (7_500_000, -2.5));
        assert_eq!(Offset { ns: 1_000_000 }.on_theirs(1), 1_000_001);
    }
}

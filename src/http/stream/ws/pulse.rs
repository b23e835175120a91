//! A connection's heartbeats and pings, and what the pings tell of its lag.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::stream::Timing;

/// So many of the newest round trips count.
const WINDOW: usize = 4;

/// When what is due, and how long the last pings took.
#[derive(Debug)]
pub struct Pulse {
    heartbeat: Duration,
    heartbeat_at: Instant,
    ping_at: Instant,
    /// The ping that is not answered yet.
    pinged_at: Option<Instant>,
    pings: u32,
    /// In microseconds; what has not been measured is the longest there is.
    round_trips: [u32; WINDOW],
}

impl Pulse {
    /// The first ping goes out at once: a command may need to know the lag soon.
    pub fn start(heartbeat: Duration, now: Instant) -> Self {
        Self {
            heartbeat,
            heartbeat_at: now + heartbeat,
            ping_at: now,
            pinged_at: None,
            pings: 0,
            round_trips: [u32::MAX; WINDOW],
        }
    }

    /// When something is due next; a ping is not while nothing can be written.
    pub fn next(&self, timing: &Timing, is_written: bool) -> Instant {
        let pong_by = self.pinged_at.map(|at| at + timing.pong_wait);
        let ping_at = Some(self.ping_at).filter(|_| is_written);
        pong_by.or(ping_at).map_or(self.heartbeat_at, |at| self.heartbeat_at.min(at))
    }

    /// Whether a heartbeat is due; then it counts as said.
    pub fn take_heartbeat(&mut self, now: Instant) -> bool {
        let is_due = now >= self.heartbeat_at;
        if is_due {
            self.heartbeat_at = now + self.heartbeat;
        }
        is_due
    }

    /// What to ping with, if it is due; then it counts as sent.
    pub fn take_ping(&mut self, now: Instant, timing: &Timing) -> Option<[u8; 4]> {
        if self.pinged_at.is_some() || now < self.ping_at {
            return None;
        }
        self.pinged_at = Some(now);
        self.ping_at = now + timing.ping;
        self.pings = self.pings.wrapping_add(1);
        Some(self.pings.to_be_bytes())
    }

    /// Whether a pong has not come in time.
    pub fn is_lost(&self, now: Instant, timing: &Timing) -> bool {
        self.pinged_at.is_some_and(|at| now >= at + timing.pong_wait)
    }

    /// Nothing was read for a while, so that no pong could be seen: it may still come.
    pub fn excuse(&mut self, now: Instant) {
        self.pinged_at = self.pinged_at.map(|_| now);
    }

    /// A pong came; only the answer to the newest ping tells anything.
    pub fn pong(&mut self, payload: &[u8], now: Instant) {
        if payload != self.pings.to_be_bytes() {
            return;
        }
        if let Some(at) = self.pinged_at.take() {
            let micros = now.duration_since(at).as_micros();
            self.round_trips[self.pings as usize % WINDOW] = u32::try_from(micros).unwrap_or(u32::MAX);
        }
    }

    /// The connection's own lag: half the smallest round trip of the last few.
    pub fn lag_ms(&self) -> i64 {
        let smallest = self.round_trips.iter().min().filter(|micros| **micros != u32::MAX);
        smallest.map_or(0, |micros| i64::from(*micros) / 2_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_lag_is_half_the_smallest_round_trip_of_the_last_few() {
        let (timing, start) = (Timing::default(), Instant::now());
        let mut pulse = Pulse::start(ms(15_000), start);
        assert_eq!(pulse.lag_ms(), 0);
        let mut now = start;
        for (round_trip, lag) in [(100, 50), (40, 20), (90, 20), (90, 20), (90, 20), (80, 40)] {
            let ping = pulse.take_ping(now, &timing).unwrap();
            pulse.pong(b"nonsense", now);
            pulse.pong(&ping, now + ms(round_trip));
            pulse.pong(&ping, now + ms(1_000));
            assert_eq!(pulse.lag_ms(), lag);
            now += timing.ping;
        }
    }

    #[test]
    fn a_ping_without_an_answer_is_noticed_and_no_other_is_sent() {
        let (timing, start) = (Timing::default(), Instant::now());
        let mut pulse = Pulse::start(ms(60_000), start);
        assert!(pulse.take_ping(start, &timing).is_some());
        assert!(pulse.take_ping(start + timing.ping, &timing).is_none());
        assert_eq!(pulse.next(&timing, true), start + timing.pong_wait);
        assert!(!pulse.is_lost(start + timing.pong_wait - ms(1), &timing));
        assert!(pulse.is_lost(start + timing.pong_wait, &timing));
        pulse.excuse(start + timing.pong_wait);
        assert!(!pulse.is_lost(start + timing.pong_wait, &timing));
    }

    #[test]
    fn heartbeats_come_once_each() {
        let start = Instant::now();
        let mut pulse = Pulse::start(ms(2_000), start);
        assert!(!pulse.take_heartbeat(start + ms(1_999)));
        assert!(pulse.take_heartbeat(start + ms(2_000)) && !pulse.take_heartbeat(start + ms(2_000)));
    }
}

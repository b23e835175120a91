//! A connection's heartbeats and pings, and what the pings tell of its lag.

use std::time::Duration;

use tokio::time::Instant;

use crate::stream::Timing;

/// So many of the newest round trips count.
const RTT_SAMPLES: usize = 4;

/// When what is due, and how long the last pings took.
#[derive(Debug)]
pub struct Keepalive {
    heartbeat_ms: u32,
    heartbeat_at: Instant,
    /// When the newest ping was sent; when the stream began, before the first.
    pinged_at: Instant,
    awaits_pong: bool,
    pings: u32,
    /// In microseconds; what has not been measured is the longest there is.
    round_trips: [u32; RTT_SAMPLES],
    /// What the kernel has measured, in microseconds; not asked since the last pong if `None`.
    kernel: Option<u32>,
    /// The kernel measures the way to a proxy, and the client is behind it.
    is_proxied: bool,
}

impl Keepalive {
    /// The first ping goes out at once: a command may need to know the lag soon.
    pub fn start(heartbeat: Duration, is_proxied: bool, now: Instant) -> Self {
        Self {
            heartbeat_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
            heartbeat_at: now + heartbeat,
            pinged_at: now,
            awaits_pong: false,
            pings: 0,
            round_trips: [u32::MAX; RTT_SAMPLES],
            kernel: None,
            is_proxied,
        }
    }

    /// When something is due next; a ping is not while nothing can be written.
    pub fn next(&self, timing: &Timing, is_written: bool) -> Instant {
        match self.awaits_pong {
            true => self.heartbeat_at.min(self.pinged_at + timing.pong_wait),
            false if is_written => self.heartbeat_at.min(self.ping_at(timing)),
            false => self.heartbeat_at,
        }
    }

    fn ping_at(&self, timing: &Timing) -> Instant {
        if self.pings == 0 { self.pinged_at } else { self.pinged_at + timing.ping }
    }

    /// Whether a heartbeat is due; then it counts as said.
    pub fn take_heartbeat(&mut self, now: Instant) -> bool {
        let is_due = now >= self.heartbeat_at;
        if is_due {
            self.heartbeat_at = now + Duration::from_millis(self.heartbeat_ms.into());
        }
        is_due
    }

    /// What to ping with, if it is due; then it counts as sent.
    pub fn take_ping(&mut self, now: Instant, timing: &Timing) -> Option<[u8; 4]> {
        if self.awaits_pong || now < self.ping_at(timing) {
            return None;
        }
        (self.pinged_at, self.awaits_pong) = (now, true);
        self.pings = self.pings.wrapping_add(1);
        Some(self.pings.to_be_bytes())
    }

    /// Whether a pong has not come in time.
    pub fn is_lost(&self, now: Instant, timing: &Timing) -> bool {
        self.awaits_pong && now >= self.pinged_at + timing.pong_wait
    }

    /// Nothing was read for a while, so that no pong could be seen: it may still come.
    pub fn excuse(&mut self, now: Instant) {
        if self.awaits_pong {
            self.pinged_at = now;
        }
    }

    /// A pong came; only the answer to the newest ping tells anything.
    pub fn pong(&mut self, payload: &[u8], now: Instant) {
        if !self.awaits_pong || payload != self.pings.to_be_bytes() {
            return;
        }
        let micros = now.duration_since(self.pinged_at).as_micros();
        self.round_trips[self.pings as usize % RTT_SAMPLES] = u32::try_from(micros).unwrap_or(u32::MAX);
        (self.awaits_pong, self.kernel) = (false, None);
    }

    /// The connection's own lag: half the smallest round trip of the last few, and no
    /// more than half of what the kernel measures. A client may answer pings late; its host
    /// acknowledges them by itself. Where the kernel does not tell there is no lag.
    pub fn lag_ms(&mut self, kernel: impl FnOnce() -> Option<Duration>) -> i64 {
        let smallest = self.round_trips.iter().min().copied().filter(|micros| *micros != u32::MAX);
        let Some(smallest) = smallest else { return 0 };
        let bound = if self.is_proxied { u32::MAX } else { *self.kernel.get_or_insert_with(|| in_micros(kernel())) };
        i64::from(smallest.min(bound)) / 2_000
    }
}

fn in_micros(span: Option<Duration>) -> u32 {
    span.map_or(0, |span| u32::try_from(span.as_micros()).unwrap_or(u32::MAX))
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
        let mut pulse = Keepalive::start(ms(15_000), true, start);
        assert_eq!(pulse.lag_ms(|| None), 0);
        let mut now = start;
        for (round_trip, lag) in [(100, 50), (40, 20), (90, 20), (90, 20), (90, 20), (80, 40)] {
            let ping = pulse.take_ping(now, &timing).unwrap();
            pulse.pong(b"nonsense", now);
            pulse.pong(&ping, now + ms(round_trip));
            pulse.pong(&ping, now + ms(1_000));
            assert_eq!(pulse.lag_ms(|| None), lag);
            now += timing.ping;
        }
    }

    #[test]
    fn a_late_pong_earns_no_more_than_the_kernel_measures() {
        let (timing, start) = (Timing::default(), Instant::now());
        for (kernel, lag) in [(Some(ms(30)), 15), (Some(ms(9_000)), 1_500), (None, 0)] {
            let mut pulse = Keepalive::start(ms(15_000), false, start);
            assert_eq!(pulse.lag_ms(|| panic!("nothing was measured")), 0);
            let ping = pulse.take_ping(start, &timing).unwrap();
            pulse.pong(&ping, start + ms(3_000));
            assert_eq!(pulse.lag_ms(|| kernel), lag);
            assert_eq!(pulse.lag_ms(|| panic!("it was asked since the last pong")), lag);
        }
    }

    #[test]
    fn a_ping_without_an_answer_is_noticed_and_no_other_is_sent() {
        let (timing, start) = (Timing::default(), Instant::now());
        let mut pulse = Keepalive::start(ms(60_000), true, start);
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
        let mut pulse = Keepalive::start(ms(2_000), true, start);
        assert!(!pulse.take_heartbeat(start + ms(1_999)));
        assert!(pulse.take_heartbeat(start + ms(2_000)) && !pulse.take_heartbeat(start + ms(2_000)));
    }
}

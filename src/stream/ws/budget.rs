//! What one client may ask of an instance: a token bucket for each WebSocket.
//!
//! Whoever asks faster is read more slowly and waits in its own socket. Nobody is
//! disconnected, and nothing is lost: an honest burst is answered a little later.

use std::time::Duration;

use tokio::time::Instant;

/// One unit comes back in so long: a thousand a second.
const UNIT: Duration = Duration::from_millis(1);

/// So many units may be used at once: a thousand `SUBSCRIBE`s twice over.
const BURST: u32 = 4_000;

/// Whoever is over is not looked at for so long, so that it does not wake us for each frame.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// So many bytes cost as much as a frame.
const BYTES: usize = 1_024;

/// What a frame that reads a session costs beside its own unit.
pub const READ: u32 = 1;

/// What it costs beside to verify a token.
pub const TOKEN: u32 = 4;

/// What it costs beside to be refused: honest clients rarely are.
pub const REFUSED: u32 = 9;

/// What a client may still ask.
#[derive(Debug)]
pub struct Budget {
    /// When the bucket is full again.
    full_at: Instant,
    /// Until when nothing is read.
    paused_until: Option<Instant>,
}

impl Budget {
    pub fn full(now: Instant) -> Self {
        Self { full_at: now, paused_until: None }
    }

    /// Charges a frame of so many bytes; from then on nothing may be read for a while.
    pub fn charge_frame(&mut self, length: usize, now: Instant) {
        let units = u32::try_from(1 + length / BYTES).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now);
        self.charge(units);
        let over = self.full_at.duration_since(now).saturating_sub(UNIT * BURST);
        if !over.is_zero() {
            self.paused_until = Some(now + over.max(MIN_PAUSE));
        }
    }

    /// Charges what a frame turned out to cost.
    pub fn charge(&mut self, units: u32) {
        self.full_at += UNIT * units;
    }

    /// Until when nothing is read; `None` while there is no reason to wait.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether frames are read now.
    pub fn is_open(&mut self) -> bool {
        if self.paused_until.is_some_and(|until| Instant::now() >= until) {
            self.paused_until = None;
        }
        self.paused_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a client that sends `count` frames `every` so often has been waiting in all.
    fn delay(count: u32, every: Duration, extra: u32) -> Duration {
        let start = Instant::now();
        let (mut budget, mut sent, mut now) = (Budget::full(start), start, start);
        for _ in 0..count {
            now = now.max(sent);
            now = budget.paused_until.take().map_or(now, |until| now.max(until));
            budget.charge(extra);
            budget.charge_frame(100, now);
            sent += every;
        }
        now.duration_since(sent.min(now))
    }

    #[test]
    fn an_honest_client_waits_for_nothing() {
        assert_eq!(delay(1_000, Duration::ZERO, READ), Duration::ZERO, "a thousand SUBSCRIBEs");
        assert_eq!(delay(100_000, Duration::from_millis(2), 0), Duration::ZERO, "500 commands a second");
        assert_eq!(delay(5_000, Duration::from_millis(20), REFUSED), Duration::ZERO, "50 refusals a second");
    }

    #[test]
    fn frames_without_end_are_read_at_the_rate_of_the_bucket() {
        let pings = delay(10_000, Duration::ZERO, 0);
        assert!((Duration::from_millis(5_900)..Duration::from_millis(6_100)).contains(&pings), "{pings:?}");
        let refused = delay(1_000, Duration::ZERO, REFUSED);
        assert!((Duration::from_millis(5_900)..Duration::from_millis(6_100)).contains(&refused), "{refused:?}");
    }
}

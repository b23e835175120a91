//! The state machine of a breaker, decided from instants that the caller passes in.

use std::time::Duration;

use tokio::time::Instant;

/// When a circuit opens, and how long it stays so.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Requests in a row without an answer, after which the circuit opens.
    pub failures: u32,
    /// The wait from opening to the first probe. It doubles with each probe that fails.
    pub first: Duration,
    /// The longest wait for a probe.
    pub most: Duration,
    /// A probe that takes longer than this has failed.
    pub probe: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failures: 5,
            first: Duration::from_millis(250),
            most: Duration::from_secs(2),
            probe: Duration::from_secs(5),
        }
    }
}

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    Closed,
    /// Requests are turned away.
    Open,
    /// One request probes for all.
    HalfOpen,
}

/// The state in which a request was admitted. Its outcome does not count once the circuit has
/// left that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseId(u64);

/// Closed, open or half open, and since when.
#[derive(Debug)]
pub struct Circuit {
    settings: Settings,
    phase: Phase,
    phase_id: u64,
    /// Grows with every probe that fails.
    wait: Duration,
}

#[derive(Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { given_up_at: Instant },
}

impl Circuit {
    /// A closed one.
    pub const fn new(settings: Settings) -> Self {
        Self { settings, phase: Phase::Closed { failures: 0 }, phase_id: 0, wait: settings.first }
    }

    /// Its state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Admits a request, or tells when a retry is worth it.
    pub fn acquire(&mut self, now: Instant) -> Result<PhaseId, Instant> {
        match self.phase {
            Phase::Closed { .. } => return Ok(PhaseId(self.phase_id)),
            Phase::Open { until } if now < until => return Err(until),
            // The probe usually ends sooner.
            Phase::HalfOpen { given_up_at } if now < given_up_at => {
                return Err(given_up_at.min(now + self.settings.first));
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
        self.enter(Phase::HalfOpen { given_up_at: now + self.settings.probe });
        Ok(PhaseId(self.phase_id))
    }

    /// There was an answer, a yes or a no.
    pub fn success(&mut self, phase: PhaseId) {
        if self.is_current(phase) {
            self.wait = self.settings.first;
            match &mut self.phase {
                Phase::Closed { failures } => *failures = 0,
                Phase::Open { .. } | Phase::HalfOpen { .. } => self.enter(Phase::Closed { failures: 0 }),
            }
        }
    }

    /// There was no answer.
    pub fn failure(&mut self, phase: PhaseId, now: Instant) {
        if !self.is_current(phase) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { failures } if *failures + 1 < self.settings.failures => *failures += 1,
            Phase::HalfOpen { .. } => {
                self.wait = self.wait.saturating_mul(2).min(self.settings.most);
                self.open(now);
            }
            Phase::Closed { .. } | Phase::Open { .. } => self.open(now),
        }
    }

    /// The caller went away before an answer: if it was the probe, another may follow.
    pub fn cancelled(&mut self, phase: PhaseId, now: Instant) {
        if self.is_current(phase) && matches!(self.phase, Phase::HalfOpen { .. }) {
            self.enter(Phase::Open { until: now });
        }
    }

    const fn is_current(&self, phase: PhaseId) -> bool {
        phase.0 == self.phase_id
    }

    fn open(&mut self, now: Instant) {
        self.enter(Phase::Open { until: now + self.wait });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_id += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SETTINGS: Settings =
        Settings { failures: 3, first: SECOND, most: Duration::from_secs(3), probe: Duration::from_secs(10) };

    /// One that opened at the given instant.
    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(SETTINGS);
        for _ in 0..3 {
            let phase = circuit.acquire(now).unwrap();
            circuit.failure(phase, now);
        }
        assert_eq!(circuit.state(), State::Open);
        circuit
    }

    #[test]
    fn a_circuit_opens_after_failures_in_a_row() {
        let (mut circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        for is_answer in [false, false, true, false, false] {
            let phase = circuit.acquire(now).unwrap();
            if is_answer {
                circuit.success(phase);
            } else {
                circuit.failure(phase, now);
            }
            assert_eq!(circuit.state(), State::Closed);
        }
        let phase = circuit.acquire(now).unwrap();
        circuit.failure(phase, now);
        assert_eq!((circuit.state(), circuit.acquire(now)), (State::Open, Err(now + SECOND)));
    }

    #[test]
    fn the_answer_to_a_probe_closes_the_circuit() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let probe = circuit.acquire(now + SECOND).unwrap();
        assert_eq!(circuit.acquire(now + SECOND), Err(now + SECOND * 2));
        assert_eq!(circuit.acquire(now + SECOND * 10), Err(now + SECOND * 11));
        circuit.success(probe);
        assert_eq!(circuit.state(), State::Closed);
        assert!(circuit.acquire(now + SECOND).is_ok());
    }

    #[test]
    fn the_wait_doubles_with_each_failed_probe_up_to_a_limit() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        for wait in [1, 2, 3, 3] {
            assert_eq!(circuit.acquire(now), Err(now + SECOND * wait));
            now += SECOND * wait;
            let probe = circuit.acquire(now).unwrap();
            circuit.failure(probe, now);
        }
        now += SECOND * 3;
        let probe = circuit.acquire(now).unwrap();
        circuit.success(probe);
        let again = opened(now);
        assert_eq!(again.wait, SECOND);
        assert_eq!(circuit.wait, SECOND);
    }

    #[test]
    fn a_lost_or_stuck_probe_blocks_no_other() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let gone = circuit.acquire(now + SECOND).unwrap();
        circuit.cancelled(gone, now + SECOND);
        let stuck = circuit.acquire(now + SECOND).unwrap();
        let next = circuit.acquire(now + SECOND * 11).unwrap();
        circuit.failure(stuck, now + SECOND * 11);
        assert_eq!(circuit.state(), State::HalfOpen);
        circuit.success(next);
        assert_eq!(circuit.state(), State::Closed);
    }

    #[test]
    fn an_outcome_from_before_a_change_does_not_count() {
        let (mut circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        let phases: Vec<_> = (0..5).map(|_| circuit.acquire(now).unwrap()).collect();
        phases[..3].iter().for_each(|phase| circuit.failure(*phase, now));
        circuit.success(phases[3]);
        assert_eq!(circuit.state(), State::Open);
        circuit.failure(phases[4], now + SECOND / 2);
        assert_eq!(circuit.acquire(now), Err(now + SECOND));
    }
}

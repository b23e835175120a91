//! When to ask and when not to: decided from instants that are handed in, nothing else.

use std::time::Duration;

use tokio::time::Instant;

/// When a circuit opens, and how long it stays so.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Questions in a row that nobody answers, after which nobody is asked.
    pub failures: u32,
    /// From opening to the first probe. It doubles with each probe that fails.
    pub first: Duration,
    /// No wait for a probe is longer.
    pub most: Duration,
    /// A probe that takes longer than this has failed, whether it says so or not.
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

/// What a circuit does with whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everyone asks.
    Closed,
    /// Nobody asks.
    Open,
    /// One asks, for all.
    HalfOpen,
}

/// What whoever may ask says afterwards whom it spoke for. A circuit that has moved
/// on does not listen to what began before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// Closed, open or half open, and since when.
#[derive(Debug)]
pub struct Circuit {
    settings: Settings,
    phase: Phase,
    turn: u64,
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
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, phase: Phase::Closed { failures: 0 }, turn: 0, wait: settings.first }
    }

    /// What it does with whoever comes.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Whether somebody may ask now; if not, when it is worth coming again.
    pub fn ask(&mut self, now: Instant) -> Result<Ticket, Instant> {
        match self.phase {
            Phase::Closed { .. } => return Ok(Ticket(self.turn)),
            Phase::Open { until } if now < until => return Err(until),
            // The probe will know sooner than that, as a rule.
            Phase::HalfOpen { given_up_at } if now < given_up_at => {
                return Err(given_up_at.min(now + self.settings.first));
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
        self.enter(Phase::HalfOpen { given_up_at: now + self.settings.probe });
        Ok(Ticket(self.turn))
    }

    /// It was answered, with yes or no.
    pub fn success(&mut self, turn: Ticket) {
        if self.is_current(turn) {
            self.wait = self.settings.first;
            match &mut self.phase {
                Phase::Closed { failures } => *failures = 0,
                Phase::Open { .. } | Phase::HalfOpen { .. } => self.enter(Phase::Closed { failures: 0 }),
            }
        }
    }

    /// Nobody answered.
    pub fn failure(&mut self, turn: Ticket, now: Instant) {
        if !self.is_current(turn) {
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

    /// Who asked went away before there was an answer: if it asked for all, another may.
    pub fn cancelled(&mut self, turn: Ticket, now: Instant) {
        if self.is_current(turn) && matches!(self.phase, Phase::HalfOpen { .. }) {
            self.enter(Phase::Open { until: now });
        }
    }

    const fn is_current(&self, turn: Ticket) -> bool {
        turn.0 == self.turn
    }

    fn open(&mut self, now: Instant) {
        self.enter(Phase::Open { until: now + self.wait });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
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
            let turn = circuit.ask(now).unwrap();
            circuit.failure(turn, now);
        }
        assert_eq!(circuit.state(), State::Open);
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_an_answer_in_between_counts() {
        let (mut circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        for is_answer in [false, false, true, false, false] {
            let turn = circuit.ask(now).unwrap();
            if is_answer {
                circuit.success(turn);
            } else {
                circuit.failure(turn, now);
            }
            assert_eq!(circuit.state(), State::Closed);
        }
        let turn = circuit.ask(now).unwrap();
        circuit.failure(turn, now);
        assert_eq!((circuit.state(), circuit.ask(now)), (State::Open, Err(now + SECOND)));
    }

    #[test]
    fn one_probe_asks_for_all_and_its_answer_closes() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let probe = circuit.ask(now + SECOND).unwrap();
        assert_eq!(circuit.ask(now + SECOND), Err(now + SECOND * 2));
        assert_eq!(circuit.ask(now + SECOND * 10), Err(now + SECOND * 11));
        circuit.success(probe);
        assert_eq!(circuit.state(), State::Closed);
        assert!(circuit.ask(now + SECOND).is_ok());
    }

    #[test]
    fn probes_that_fail_come_at_twice_the_wait_up_to_the_most() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        for wait in [1, 2, 3, 3] {
            assert_eq!(circuit.ask(now), Err(now + SECOND * wait));
            now += SECOND * wait;
            let probe = circuit.ask(now).unwrap();
            circuit.failure(probe, now);
        }
        now += SECOND * 3;
        let probe = circuit.ask(now).unwrap();
        circuit.success(probe);
        let again = opened(now);
        assert_eq!(again.wait, SECOND);
        assert_eq!(circuit.wait, SECOND);
    }

    #[test]
    fn a_probe_that_goes_away_or_never_ends_holds_nobody_up() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let gone = circuit.ask(now + SECOND).unwrap();
        circuit.cancelled(gone, now + SECOND);
        let stuck = circuit.ask(now + SECOND).unwrap();
        let next = circuit.ask(now + SECOND * 11).unwrap();
        circuit.failure(stuck, now + SECOND * 11);
        assert_eq!(circuit.state(), State::HalfOpen);
        circuit.success(next);
        assert_eq!(circuit.state(), State::Closed);
    }

    #[test]
    fn what_began_before_a_change_is_not_heard_after_it() {
        let (mut circuit, now) = (Circuit::new(SETTINGS), Instant::now());
        let turns: Vec<_> = (0..5).map(|_| circuit.ask(now).unwrap()).collect();
        turns[..3].iter().for_each(|turn| circuit.failure(*turn, now));
        circuit.success(turns[3]);
        assert_eq!(circuit.state(), State::Open);
        circuit.failure(turns[4], now + SECOND / 2);
        assert_eq!(circuit.ask(now), Err(now + SECOND));
    }
}

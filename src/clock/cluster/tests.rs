//! Instances and references that live in simulated time.

mod following;
mod keeping;
mod surviving;

use super::discipline::{Discipline, Exchange, Next, Settings};
use super::reference::{Reading, StoredOffset};

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// A row of numbers that look like chance, and are the same for the same seed.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % (most + 1)
    }
}

/// A clock that is ahead, and runs fast by so many parts per million.
#[derive(Debug, Clone, Copy)]
struct Skewed {
    ahead: i64,
    ppm: i64,
}

impl Skewed {
    fn at(self, truth: i64) -> i64 {
        truth + self.ahead + truth * self.ppm / 1_000_000
    }
}

/// A master: its clock, which process it is, and what is kept beside it.
#[derive(Debug, Clone)]
struct Master {
    clock: Skewed,
    run_id: &'static str,
    stored: Option<StoredOffset>,
}

impl Master {
    fn new(run_id: &'static str, clock: Skewed) -> Self {
        Self { clock, run_id, stored: None }
    }

    /// Another one takes over, with what was kept.
    fn succeeded_by(&self, run_id: &'static str, clock: Skewed) -> Self {
        Self { clock, run_id, stored: self.stored.clone() }
    }

    /// Cluster time, which what is kept defines.
    fn cluster(&self, truth: i64) -> i64 {
        let stored = self.stored.as_ref().filter(|stored| stored.run_id == self.run_id).unwrap();
        self.clock.at(truth) + stored.offset_us
    }
}

/// An instance.
#[derive(Debug)]
struct Instance {
    counter: Skewed,
    discipline: Discipline,
    dice: Dice,
    round_trip: i64,
}

impl Instance {
    fn new(counter: Skewed, seed: u64, round_trip: i64) -> Self {
        Self { counter, discipline: Discipline::new(Settings::default()), dice: Dice(seed), round_trip }
    }

    /// Asks at `truth`; gives what to do, which is done, and when the answer was there.
    fn ask(&mut self, master: &mut Master, truth: i64) -> (Next, i64) {
        let there = self.dice.up_to(self.round_trip / 2);
        let back = self.dice.up_to(self.round_trip / 2);
        let told = Reading {
            run_id: master.run_id.into(),
            server_us: master.clock.at(truth + there),
            stored: master.stored.clone(),
        };
        let done = truth + there + back;
        let exchange = Exchange { sent: self.counter.at(truth), received: self.counter.at(done), reading: told };
        let next = self.discipline.take(&exchange);
        if let Next::Claim(offset_us) = next {
            master.stored = Some(StoredOffset { run_id: master.run_id.into(), offset_us });
        }
        (next, done)
    }

    /// Asks as often as it should, from one instant to another, where it is.
    fn live(&mut self, master: &mut Master, from: i64, to: i64) -> i64 {
        let mut truth = from;
        while truth < to {
            let (next, done) = self.ask(master, truth);
            truth = done + if next == Next::Wait { 400_000 + self.dice.up_to(200_000) } else { 20_000 };
        }
        truth
    }

    fn now(&self, truth: i64) -> i64 {
        self.discipline.mapping().expect("it knows the time").at(self.counter.at(truth))
    }

    fn uncertainty(&self, truth: i64) -> i64 {
        self.discipline.mapping().expect("it knows the time").uncertainty(self.counter.at(truth))
    }
}

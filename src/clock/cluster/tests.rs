//! Instances and references that live in simulated time.

mod accuracy;
mod failover;
mod follower;

use super::discipline::{Discipline, Exchange, NextStep, Settings};
use super::reference::{Reading, StoredOffset};

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// Pseudo-random numbers that follow from a seed.
#[derive(Debug, Clone)]
struct Rng(u64);

impl Rng {
    fn up_to(&mut self, max: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % (max + 1)
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

/// A Redis master: its clock, its process, and the offset it stores.
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

    /// Another master takes over, with the stored offset.
    fn succeeded_by(&self, run_id: &'static str, clock: Skewed) -> Self {
        Self { clock, run_id, stored: self.stored.clone() }
    }

    /// Cluster time, which the stored offset defines.
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
    rng: Rng,
    round_trip: i64,
}

impl Instance {
    fn new(counter: Skewed, seed: u64, round_trip: i64) -> Self {
        Self { counter, discipline: Discipline::new(Settings::default()), rng: Rng(seed), round_trip }
    }

    /// Asks at `truth` and does what follows; returns that and when the answer arrived.
    fn ask(&mut self, master: &mut Master, truth: i64) -> (NextStep, i64) {
        let outbound = self.rng.up_to(self.round_trip / 2);
        let inbound = self.rng.up_to(self.round_trip / 2);
        let reading = Reading {
            run_id: master.run_id.into(),
            server_us: master.clock.at(truth + outbound),
            stored: master.stored.clone(),
        };
        let done = truth + outbound + inbound;
        let exchange = Exchange { sent: self.counter.at(truth), received: self.counter.at(done), reading };
        let next = self.discipline.take(&exchange);
        if let NextStep::Claim(offset_us) = next {
            master.stored = Some(StoredOffset { run_id: master.run_id.into(), offset_us });
        }
        (next, done)
    }

    /// Asks as often as it should, from one instant to another; returns when it stopped.
    fn run(&mut self, master: &mut Master, from: i64, to: i64) -> i64 {
        let mut truth = from;
        while truth < to {
            let (next, done) = self.ask(master, truth);
            truth = done + if next == NextStep::Wait { 400_000 + self.rng.up_to(200_000) } else { 20_000 };
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

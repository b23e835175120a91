//! Switching sessions: in a closed loop, as fast as the answers come, or in an open one, by the clock.

mod lane;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::crowd::order::Sent;
use crate::failure::Failure;
use crate::report::Errors;
use crate::report::latencies::Latencies;
use crate::schedule::Schedule;
use crate::session::Session;
use crate::target::Target;
use lane::Lane;
use worker::Worker;

/// Until the first call: all workers are there by then.
const GATHERING: Duration = Duration::from_millis(50);

/// What commands go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Over {
    /// Requests on keep-alive connections.
    Http,
    /// `COMMAND` frames on WebSockets.
    Ws,
}

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Plan {
    pub workers: usize,
    /// In all; without one the loop is closed.
    pub per_second: Option<f64>,
    /// Not measured.
    pub warmup: Duration,
    pub span: Duration,
    pub over: Over,
    /// Whether each worker asks all instances in turn, or always the same.
    pub takes_turns: bool,
    /// Whether somebody wants to know what was sent when.
    pub is_watched: bool,
}

/// Commands under way.
pub struct Running {
    /// What is due from here to there is measured.
    pub from: Instant,
    pub until: Instant,
    workers: JoinSet<Result<Done, Failure>>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Done {
    /// Counted from when each was due.
    pub from_due: Latencies,
    /// Counted from when each was sent. In a closed loop that is the same.
    pub from_sent: Latencies,
    /// Writes that were made, those of the warm-up too.
    pub applied: u64,
    /// Those that were measured, and when they were asked for.
    pub sent: Vec<Sent>,
    pub errors: Errors,
}

impl Plan {
    /// Begins. Each session is always switched by the same worker, so that commands for it do not meet.
    pub fn start(&self, target: &Target, sessions: &Arc<[Session]>) -> Running {
        let start = Instant::now() + GATHERING;
        let (from, until) = (start + self.warmup, start + self.warmup + self.span);
        let mut workers = JoinSet::new();
        for nth in 0..self.workers.min(sessions.len()) {
            let worker = Worker {
                nth,
                plan: self.clone(),
                target: target.clone(),
                sessions: Arc::clone(sessions),
                schedule: self.per_second.map(|rate| Schedule::new(start, rate)),
                from,
                until,
            };
            workers.spawn(worker.work());
        }
        Running { from, until, workers }
    }

    /// The instances that a worker asks.
    fn lanes(&self, nth: usize, target: &Target) -> Vec<Lane> {
        let count = if self.takes_turns { target.instances.len() } else { 1 };
        (nth..nth + count).map(|nth| Lane::new(self.over, target.instance(nth))).collect()
    }
}

impl Running {
    /// Waits for the last answers.
    pub async fn finish(mut self) -> Result<Done, Failure> {
        let mut all = Done::default();
        while let Some(done) = self.workers.join_next().await {
            all.add(done.map_err(std::io::Error::other)??);
        }
        Ok(all)
    }
}

impl Done {
    fn add(&mut self, other: Self) {
        self.from_due.add(&other.from_due);
        self.from_sent.add(&other.from_sent);
        self.applied += other.applied;
        self.sent.extend(other.sent);
        for (why, count) in other.errors {
            *self.errors.entry(why).or_default() += count;
        }
    }
}

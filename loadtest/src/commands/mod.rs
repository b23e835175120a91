//! Switching sessions: in a closed loop, as fast as the answers come, or in an open one, by the clock.

mod lane;
mod plan;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::session::Session;
use crate::target::Target;
use worker::Worker;

pub use lane::Over;
pub use plan::{Done, Plan};

/// Until the first call: all workers are there by then.
const GATHERING: Duration = Duration::from_millis(50);

/// Commands under way.
pub struct Running {
    /// What is due from here to there is measured.
    pub from: Instant,
    pub until: Instant,
    workers: JoinSet<Result<Done, Failure>>,
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

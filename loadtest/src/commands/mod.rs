//! Sends switches: in a closed loop, as fast as the answers come, or in an open loop, by a schedule.

mod connection;
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

pub use connection::CommandTransport;
pub use plan::{CommandTotals, Plan};

/// The time until the first call: all workers are ready by then.
const START_DELAY: Duration = Duration::from_millis(50);

/// Commands under way.
pub struct Running {
    /// Commands due between these are measured.
    pub from: Instant,
    pub until: Instant,
    workers: JoinSet<Result<CommandTotals, Failure>>,
}

impl Plan {
    /// Starts the workers. One worker sends all commands of a session, so that they do not conflict.
    pub fn start(&self, target: &Target, sessions: &Arc<[Session]>) -> Running {
        let start = Instant::now() + START_DELAY;
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
    pub async fn finish(mut self) -> Result<CommandTotals, Failure> {
        let mut all = CommandTotals::default();
        while let Some(done) = self.workers.join_next().await {
            all.add(done.map_err(std::io::Error::other)??);
        }
        Ok(all)
    }
}

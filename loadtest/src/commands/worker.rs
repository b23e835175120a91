//! A worker: sends one command at a time, on connections of its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::{CommandAnswer, CommandConnection};
use super::plan::{CommandTotals, Plan};
use crate::clock;
use crate::crowd::protocol::Sent;
use crate::failure::Failure;
use crate::schedule::{Schedule, share};
use crate::session::Session;
use crate::target::Target;
use crate::ticker::Ticker;

/// How long an open loop that has fallen behind goes on before it ends without having sent all.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failed connection.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

pub struct Worker {
    pub nth: usize,
    pub plan: Plan,
    pub target: Target,
    pub sessions: Arc<[Session]>,
    pub schedule: Option<Schedule>,
    pub from: Instant,
    pub until: Instant,
}

impl Worker {
    pub async fn work(self) -> Result<CommandTotals, Failure> {
        let ticker = Ticker::new()?;
        let mut connections = self.connections();
        let mut done = CommandTotals::default();
        let workers = self.plan.workers.min(self.sessions.len());
        ticker.until(self.from - self.plan.warmup).await?;
        for (nth, (call, session)) in share(self.nth, workers, self.sessions.len()).enumerate() {
            let Some(due) = self.wait(call, &ticker, &mut done).await? else { break };
            let connection = nth % connections.len();
            if self.send(&mut connections[connection], session, due, &mut done).await.is_break() {
                sleep(RETRY_PAUSE).await;
            }
        }
        Ok(done)
    }

    /// A connection to each instance that it asks.
    fn connections(&self) -> Vec<CommandConnection> {
        let count = if self.plan.takes_turns { self.target.instances.len() } else { 1 };
        (self.nth..self.nth + count)
            .map(|nth| CommandConnection::new(self.plan.over, self.target.instance(nth)))
            .collect()
    }

    /// Waits until the call is due. Returns when that was, or nothing at the end.
    async fn wait(&self, call: u64, ticker: &Ticker, done: &mut CommandTotals) -> Result<Option<Instant>, Failure> {
        let Some(schedule) = self.schedule else {
            let now = Instant::now();
            return Ok(Some(now).filter(|now| *now < self.until));
        };
        let due = schedule.due(call);
        if due >= self.until {
            return Ok(None);
        }
        ticker.until(due).await?;
        if Instant::now() > self.until + CATCH_UP_TIMEOUT {
            *done.errors.entry("fell behind: not all were sent".to_owned()).or_default() += 1;
            return Ok(None);
        }
        Ok(Some(due))
    }

    /// Sends a switch. Breaks if the worker should pause.
    async fn send(
        &self,
        connection: &mut CommandConnection,
        session: usize,
        due: Instant,
        done: &mut CommandTotals,
    ) -> ControlFlow<()> {
        let (sent, at_ns) = (Instant::now(), clock::wall_ns());
        let answer = connection.switch(&self.target, &self.sessions[session].id).await;
        let answered = Instant::now();
        // A closed loop is measured by its answers, an open one by what was due.
        let is_measured = due >= self.from && (self.schedule.is_some() || answered < self.until);
        match answer {
            Ok(CommandAnswer::Applied(position)) => {
                done.applied += 1;
                if is_measured {
                    done.from_due.record(answered - due);
                    done.from_sent.record(answered - sent);
                    done.sent.extend(self.plan.is_watched.then_some(Sent {
                        session,
                        version: position.version,
                        at_ns,
                    }));
                }
            }
            Ok(CommandAnswer::Refused(why)) => *done.errors.entry(why).or_default() += 1,
            Err(error) => {
                *done.errors.entry(error.to_string()).or_default() += 1;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

//! One of those who send commands: one at a time, on connections of its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lane::{Lane, Told};
use super::plan::{Done, Plan};
use crate::clock;
use crate::crowd::order::Sent;
use crate::failure::Failure;
use crate::schedule::{Schedule, share};
use crate::session::Session;
use crate::target::Target;
use crate::ticker::Ticker;

/// An open loop that has fallen behind goes on for so long, and then ends without having sent all.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(5);

/// A connection that is refused is not asked again at once.
const PAUSE: Duration = Duration::from_millis(20);

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
    pub async fn work(self) -> Result<Done, Failure> {
        let ticker = Ticker::new()?;
        let mut lanes = self.lanes();
        let mut done = Done::default();
        let workers = self.plan.workers.min(self.sessions.len());
        ticker.until(self.from - self.plan.warmup).await?;
        for (nth, (call, session)) in share(self.nth, workers, self.sessions.len()).enumerate() {
            let Some(due) = self.wait(call, &ticker, &mut done).await? else { break };
            let lane = nth % lanes.len();
            if self.ask(&mut lanes[lane], session, due, &mut done).await.is_break() {
                sleep(PAUSE).await;
            }
        }
        Ok(done)
    }

    /// A connection to each instance that it asks.
    fn lanes(&self) -> Vec<Lane> {
        let count = if self.plan.takes_turns { self.target.instances.len() } else { 1 };
        (self.nth..self.nth + count).map(|nth| Lane::new(self.plan.over, self.target.instance(nth))).collect()
    }

    /// Until the call is due; when that was, or nothing at the end.
    async fn wait(&self, call: u64, ticker: &Ticker, done: &mut Done) -> Result<Option<Instant>, Failure> {
        let Some(schedule) = self.schedule else {
            let now = Instant::now();
            return Ok(Some(now).filter(|now| *now < self.until));
        };
        let due = schedule.due(call);
        if due >= self.until {
            return Ok(None);
        }
        ticker.until(due).await?;
        if Instant::now() > self.until + CATCHES_UP_WITHIN {
            *done.errors.entry("fell behind: not all were sent".to_owned()).or_default() += 1;
            return Ok(None);
        }
        Ok(Some(due))
    }

    /// Breaks where it may be as well to wait a little.
    async fn ask(&self, lane: &mut Lane, session: usize, due: Instant, done: &mut Done) -> ControlFlow<()> {
        let (sent, at_ns) = (Instant::now(), clock::wall_ns());
        let told = lane.switch(&self.target, &self.sessions[session].id).await;
        let answered = Instant::now();
        // A closed loop is measured by its answers, an open one by what was due.
        let is_measured = due >= self.from && (self.schedule.is_some() || answered < self.until);
        match told {
            Ok(Told::At(position)) => {
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
            Ok(Told::Refused(why)) => *done.errors.entry(why).or_default() += 1,
            Err(error) => {
                *done.errors.entry(error.to_string()).or_default() += 1;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

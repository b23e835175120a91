//! All subscribers reconnect at once, as after an outage of the network.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::round::{of, tell_streams};
use super::{Bench, names, per_second, seconds, up_to};
use crate::clock;
use crate::commands::{CommandTransport, Plan};
use crate::crowd::protocol::{Counts, Request};
use crate::failure::Failure;
use crate::host::meter::Meter;
use crate::net::http::Http;
use crate::position::Position;
use crate::report::{Report, real};
use crate::session::{Session, refusal};
use crate::target::{Target, Transport};

/// All should have recovered long before.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// Sessions switched at a time while all streams are closed.
const MAX_CONCURRENT_SWITCHES: usize = 16;

/// How many come back, and what goes on meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub struct Storm {
    #[arg(short = 's', long, default_value = "10000", value_parser = up_to::<1_000_000>)]
    subscribers: usize,
    /// Sessions they are spread over
    #[arg(long, default_value = "500", value_parser = up_to::<1_000_000>)]
    sessions: usize,
    /// What they follow by; several are shared out evenly
    #[arg(long = "transport", value_enum, value_delimiter = ',', default_value = "ws")]
    transports: Vec<Transport>,
    /// Commands a second meanwhile
    #[arg(long, default_value = "200", value_parser = per_second)]
    rate: f64,
    /// Seconds that commands go on for
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
}

impl Storm {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let sessions = bench.sessions(self.sessions.min(self.subscribers)).await?;
        let (mut audience, _) = bench.audience(&sessions, self.subscribers, &self.transports).await?;
        let all = self.subscribers as u64;
        audience.until(RECOVERY_TIMEOUT, |counts| counts.states + counts.failed >= all).await?;

        audience.request(&Request::Cut).await?;
        let targets = switch_all(&bench.target, &sessions).await?;
        let running = self.plan().start(&bench.target, &sessions);
        bench.progress.until("silence", running.from).await;
        let meter = Meter::start(&bench.groups);
        let go_ns = clock::wall_ns();
        let before = audience.request(&Request::Resume { go_ns, targets }).await?;
        bench.progress.begin("right again", self.subscribers);
        let is_right = |counts: &Counts| {
            bench.progress.at(counts.right);
            counts.right >= all
        };
        let after = audience.until(RECOVERY_TIMEOUT, is_right).await?;
        let usage = meter.stop();
        bench.progress.until("commands", running.until).await;
        let done = running.finish().await?;
        let recovery = of(&audience.harvest(&[]).await?.recovery);

        let mut report = bench.report("storm");
        report.setting("subscribers", self.subscribers);
        report.setting("sessions", sessions.len());
        report.setting("transport", names(&self.transports));
        report.setting("rate", self.rate);
        report.latencies("right_again", &recovery);
        report.latencies("command", &done.from_due);
        report.rate("right_again", after.right, usage.wall);
        report.count("right", after.right);
        report.figure("resynchronised", real(after.syncs) - real(before.syncs));
        report.usage(&usage, all);
        report.errors(done.errors);
        tell_streams(&mut report, &after);
        Ok(report)
    }

    fn plan(&self) -> Plan {
        Plan {
            workers: 16,
            per_second: Some(self.rate),
            warmup: Duration::ZERO,
            span: self.seconds,
            over: CommandTransport::Http,
            takes_turns: false,
            is_watched: false,
        }
    }
}

/// Switches every session once, so that every subscriber misses a version; returns the new versions.
async fn switch_all(target: &Target, sessions: &Arc<[Session]>) -> Result<Vec<u64>, Failure> {
    let mut connections = JoinSet::new();
    for connection in 0..MAX_CONCURRENT_SWITCHES.min(sessions.len()) {
        connections.spawn(switch_some(target.clone(), Arc::clone(sessions), connection));
    }
    let mut versions = vec![0; sessions.len()];
    while let Some(made) = connections.join_next().await {
        for (session, version) in made.map_err(std::io::Error::other)?? {
            versions[session] = version;
        }
    }
    Ok(versions)
}

async fn switch_some(
    target: Target,
    sessions: Arc<[Session]>,
    connection: usize,
) -> Result<Vec<(usize, u64)>, Failure> {
    let mut http = Http::new(target.instance(connection), None);
    let mut made = Vec::new();
    for (nth, session) in sessions.iter().enumerate().skip(connection).step_by(MAX_CONCURRENT_SWITCHES) {
        let (response, _) = http.call(&target.command(&session.id, "switch")).await?;
        let position = Position::of_answer(response.body()).filter(|_| response.status() == 200);
        let position = position.ok_or_else(|| Failure::Deployment(refusal(response)))?;
        made.push((nth, position.version));
    }
    Ok(made)
}

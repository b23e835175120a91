//! Many sessions, each with a few subscribers: what the service is for.

use std::time::Duration;

use super::round::Round;
use super::{Bench, names, per_second, seconds, up_to};
use crate::commands::{CommandTransport, Plan};
use crate::failure::Failure;
use crate::report::Report;
use crate::report::real;
use crate::target::Transport;

/// How many sessions, and how busy each is.
#[derive(Debug, Clone, clap::Args)]
pub struct Many {
    #[arg(short = 'm', long, default_value = "500", value_parser = up_to::<1_000_000>)]
    sessions: usize,
    /// Subscribers of each session
    #[arg(short = 'k', long, default_value = "4", value_parser = up_to::<1_000>)]
    subscribers: usize,
    /// Switches of each session a second
    #[arg(short = 'r', long, default_value = "1", value_parser = per_second)]
    rate: f64,
    /// What they follow by; several are shared out evenly
    #[arg(long = "transport", value_enum, value_delimiter = ',', default_value = "ws")]
    transports: Vec<Transport>,
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before that, not measured
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Connections that commands go over
    #[arg(short = 'c', long, default_value = "32", value_parser = up_to::<4_096>)]
    workers: usize,
}

impl Many {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let sessions = bench.sessions(self.sessions).await?;
        let count = self.sessions * self.subscribers;
        let (mut audience, opened_in) = bench.audience(&sessions, count, &self.transports).await?;
        let round = Round::run(bench, &mut audience, &sessions, &self.plan()).await?;

        let mut report = bench.report("many");
        report.setting("sessions", self.sessions);
        report.setting("subscribers", self.subscribers);
        report.setting("transport", names(&self.transports));
        report.setting("rate", self.rate);
        report.setting("seconds", self.seconds.as_secs_f64());
        report.rate("opened", count as u64, opened_in);
        round.tell(&mut report);
        Ok(report)
    }

    fn plan(&self) -> Plan {
        Plan {
            workers: self.workers,
            per_second: Some(self.rate * real(self.sessions as u64)),
            warmup: self.warmup,
            span: self.seconds,
            over: CommandTransport::Http,
            takes_turns: false,
            is_watched: true,
        }
    }
}

//! One session, many subscribers.

use std::time::Duration;

use super::round::Round;
use super::{Bench, names, per_second, seconds, up_to};
use crate::commands::{CommandTransport, Plan};
use crate::failure::Failure;
use crate::report::Report;
use crate::target::Transport;

/// How many subscribers, and how often they are told something.
#[derive(Debug, Clone, clap::Args)]
pub struct Fanout {
    #[arg(short = 's', long, default_value = "1000", value_parser = up_to::<1_000_000>)]
    subscribers: usize,
    /// What they follow by; several are shared out evenly
    #[arg(long = "transport", value_enum, value_delimiter = ',', default_value = "ws")]
    transports: Vec<Transport>,
    /// Switches a second
    #[arg(long, default_value = "4", value_parser = per_second)]
    rate: f64,
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before that, not measured
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
}

impl Fanout {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let sessions = bench.sessions(1).await?;
        let (mut audience, opened_in) = bench.audience(&sessions, self.subscribers, &self.transports).await?;
        let round = Round::run(bench, &mut audience, &sessions, &self.plan()).await?;

        let mut report = bench.report("fanout");
        report.setting("subscribers", self.subscribers);
        report.setting("transport", names(&self.transports));
        report.setting("rate", self.rate);
        report.setting("seconds", self.seconds.as_secs_f64());
        report.rate("opened", self.subscribers as u64, opened_in);
        round.tell(&mut report);
        Ok(report)
    }

    fn plan(&self) -> Plan {
        Plan {
            workers: 1,
            per_second: Some(self.rate),
            warmup: self.warmup,
            span: self.seconds,
            over: CommandTransport::Http,
            takes_turns: true,
            is_watched: true,
        }
    }
}

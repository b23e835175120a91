//! Commands and nothing else.

use std::time::Duration;

use super::{Bench, per_second, seconds, up_to};
use crate::commands::{CommandTransport, Plan};
use crate::failure::Failure;
use crate::host::meter::Meter;
use crate::report::Report;

/// Which commands, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Hotpath {
    /// Workers, each with a connection of its own and one command under way
    #[arg(short = 'c', long, default_value = "64", value_parser = up_to::<4_096>)]
    workers: usize,
    /// Sessions that a worker switches in turn
    #[arg(long, default_value = "4", value_parser = up_to::<1_000>)]
    sessions_per_worker: usize,
    /// Open loop: commands a second in all, each counted from when it was due
    #[arg(long, value_parser = per_second)]
    rate: Option<f64>,
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before that, not measured
    #[arg(long, default_value = "2", value_parser = seconds)]
    warmup: Duration,
    /// What commands go over
    #[arg(long, value_enum, default_value = "http")]
    over: CommandTransport,
}

impl Hotpath {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let sessions = bench.sessions(self.workers * self.sessions_per_worker).await?;
        let running = self.plan().start(&bench.target, &sessions);
        bench.progress.until("warm-up", running.from).await;
        let meter = Meter::start(&bench.groups);
        bench.progress.until("commands", running.until).await;
        let usage = meter.stop();
        let done = running.finish().await?;

        let mut report = bench.report("hotpath");
        report.setting("workers", self.workers);
        report.setting("sessions", sessions.len());
        report.setting("over", format!("{:?}", self.over).to_lowercase());
        report.setting("rate", self.rate.map_or_else(|| "closed loop".into(), serde_json::Value::from));
        report.setting("seconds", self.seconds.as_secs_f64());
        report.rate("commands", done.from_due.count(), self.seconds);
        report.latencies("command", &done.from_due);
        report.latencies("command_from_sent", &done.from_sent);
        report.usage(&usage, done.from_due.count());
        report.errors(done.errors);
        Ok(report)
    }

    fn plan(&self) -> Plan {
        Plan {
            workers: self.workers,
            per_second: self.rate,
            warmup: self.warmup,
            span: self.seconds,
            over: self.over,
            takes_turns: false,
            is_watched: false,
        }
    }
}

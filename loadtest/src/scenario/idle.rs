//! Connections on which nothing happens: what each costs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::round::tell_streams;
use super::{Bench, names, seconds, up_to};
use crate::failure::Failure;
use crate::host::meter::{DRIVER, Meter, Usage};
use crate::host::process::{Memory, family, memory};
use crate::report::{Report, ratio, real};
use crate::target::Transport;

/// How many connections, and how long they wait.
#[derive(Debug, Clone, clap::Args)]
pub struct Idle {
    #[arg(short = 'n', long, default_value = "10000", value_parser = up_to::<1_000_000>)]
    connections: usize,
    /// What they follow by; several are shared out evenly
    #[arg(long = "transport", value_enum, value_delimiter = ',', default_value = "ws")]
    transports: Vec<Transport>,
    /// Sessions they are spread over
    #[arg(long, default_value = "1000", value_parser = up_to::<1_000_000>)]
    sessions: usize,
    /// Seconds that they wait, for heartbeats and pings to count
    #[arg(long, default_value = "30", value_parser = seconds)]
    hold: Duration,
}

/// Memory of each group of processes.
type MemoryByGroup = BTreeMap<String, Memory>;

impl Idle {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        bench.check_room(self.connections)?;
        let empty = taken(bench);
        let sessions = bench.sessions(self.sessions.min(self.connections)).await?;
        let first = self.connections / 2;
        let (mut audience, _) = bench.audience(&sessions, first, &self.transports).await?;
        // The second half costs what a further connection costs, without what is there once.
        bench.progress.through("half of them wait", self.hold / 4).await;
        let half = taken(bench);
        let second = self.connections - first;
        let opened_in = audience.add(second, &bench.placement(&sessions, &self.transports), &bench.progress).await?;
        bench.progress.through("all settle", self.hold / 4).await;
        let meter = Meter::start(&bench.groups);
        bench.progress.through("all wait", self.hold).await;
        let usage = meter.stop();
        let full = taken(bench);

        let mut report = bench.report("idle");
        report.setting("connections", self.connections);
        report.setting("transport", names(&self.transports));
        report.setting("sessions", sessions.len());
        report.setting("hold", self.hold.as_secs_f64());
        report.rate("opened", second as u64, opened_in);
        tell_memory(&mut report, "connection", &empty, &full, self.connections);
        tell_memory(&mut report, "further_connection", &half, &full, second);
        tell_cpu(&mut report, &usage, self.connections);
        report.figure("others_cpu_cores", ratio(usage.others.as_secs_f64(), usage.wall.as_secs_f64()));
        tell_streams(&mut report, &audience.counts().await?);
        Ok(report)
    }
}

fn taken(bench: &Bench) -> MemoryByGroup {
    bench.groups.iter().map(|(name, pids)| (name.clone(), memory(&family(pids)))).collect()
}

fn tell_memory(report: &mut Report, what: &str, before: &MemoryByGroup, after: &MemoryByGroup, connections: usize) {
    for (group, after) in after {
        let before = before.get(group).copied().unwrap_or_default();
        let each = |from: u64, to: u64| ratio(real(to) - real(from), real(connections as u64));
        report.figure(&format!("{group}_resident_per_{what}_bytes"), each(before.resident, after.resident));
        report.figure(&format!("{group}_proportional_per_{what}_bytes"), each(before.proportional, after.proportional));
    }
}

/// Microseconds that a connection takes each second.
fn tell_cpu(report: &mut Report, usage: &Usage, connections: usize) {
    for (group, cpu) in usage.cpu.iter().filter(|(group, _)| *group != DRIVER) {
        let each = ratio(cpu.as_secs_f64() * 1e6, usage.wall.as_secs_f64() * real(connections as u64));
        report.figure(&format!("{group}_cpu_per_connection_us"), each);
    }
}

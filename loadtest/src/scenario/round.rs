//! Commands while subscribers watch: the latencies of both.

use std::sync::Arc;
use std::time::Duration;

use super::Bench;
use crate::audience::Audience;
use crate::commands::{CommandTotals, Plan};
use crate::crowd::protocol::{Counts, Harvest};
use crate::failure::Failure;
use crate::host::meter::{Meter, Usage};
use crate::report::latencies::Latencies;
use crate::report::{Report, ratio, real};
use crate::session::Session;

/// How long the last deliveries may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Round {
    pub done: CommandTotals,
    pub harvest: Harvest,
    pub usage: Usage,
    pub counts: Counts,
    /// What each subscriber's part came to before.
    before: Counts,
    expected: u64,
    span: Duration,
}

impl Round {
    /// Every session has as many subscribers as every other.
    pub async fn run(
        bench: &Bench,
        audience: &mut Audience,
        sessions: &Arc<[Session]>,
        plan: &Plan,
    ) -> Result<Self, Failure> {
        let everyone = audience.counts().await?.open;
        // Every subscriber has received the state of its session.
        let before = audience.until(SETTLE_TIMEOUT, |counts| counts.states >= everyone).await?;
        let running = plan.start(&bench.target, sessions);
        bench.progress.until("warm-up", running.from).await;
        let meter = Meter::start(&bench.groups);
        bench.progress.until("commands", running.until).await;
        let done = running.finish().await?;

        let each = everyone / sessions.len() as u64;
        let all = before.states + before.skipped + done.applied * each;
        let counts = audience.until(SETTLE_TIMEOUT, |counts| counts.states + counts.skipped >= all).await?;
        let usage = meter.stop();
        let harvest = audience.harvest(&done.sent).await?;
        let expected = done.sent.len() as u64 * each;
        Ok(Self { done, harvest, usage, counts, before, expected, span: plan.span })
    }

    pub fn tell(self, report: &mut Report) {
        let Self { done, harvest, usage, counts, before, .. } = self;
        report.rate("commands", done.from_due.count(), self.span);
        report.rate("deliveries", harvest.delivered, self.span);
        report.latencies("command", &done.from_due);
        report.latencies("command_from_sent", &done.from_sent);
        report.latencies("arrival", &of(&harvest.arrival));
        report.latencies("read", &of(&harvest.read));
        report.latencies("last_subscriber", &last_of(&done, &harvest));
        report.count("delivered", harvest.delivered);
        report.count("expected", self.expected);
        report.count("skipped", counts.skipped - before.skipped);
        report.count("repeated", counts.repeated - before.repeated);
        let states = real(counts.states - before.states);
        report.figure("delivery_bytes", ratio(real(counts.bytes - before.bytes), states));
        report.usage(&usage, harvest.delivered);
        report.errors(done.errors);
        tell_streams(report, &counts);
    }
}

/// The figures of the subscribers' streams.
pub fn tell_streams(report: &mut Report, counts: &Counts) {
    report.count("open", counts.open);
    for (what, count) in [("streams that ended", counts.lost), ("subscribers that gave up", counts.failed)] {
        if count > 0 {
            let why = counts.first_error.as_deref().unwrap_or("nobody said why");
            report.errors([(format!("{what}, first: {why}"), count)].into());
        }
    }
}

pub fn of(counts: &[(u64, u64)]) -> Latencies {
    let mut latencies = Latencies::default();
    latencies.add_counts(counts);
    latencies
}

/// Until the slowest subscriber had each write.
fn last_of(done: &CommandTotals, harvest: &Harvest) -> Latencies {
    let mut latencies = Latencies::default();
    let seen = done.sent.iter().zip(&harvest.last_ns).filter(|(_, last_ns)| **last_ns > 0);
    seen.for_each(|(sent, last_ns)| latencies.record_between(sent.at_ns, *last_ns));
    latencies
}

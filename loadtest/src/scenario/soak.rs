//! A mixed load for a long time: whether anything grows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::round::{Round, of, tell_streams};
use super::{Bench, names, per_second, seconds, up_to};
use crate::audience::Audience;
use crate::commands::{CommandTransport, Plan};
use crate::crowd::protocol::Request;
use crate::failure::Failure;
use crate::host::meter::Meter;
use crate::host::process::{family, memory};
use crate::net::http::Http;
use crate::report::latencies::Latencies;
use crate::report::{Errors, Report, ratio, real};
use crate::session::{self, Session};
use crate::target::Transport;

/// Short clocks that run out within their round.
const SHORT_BANK_MS: u64 = 50;

/// The load, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Soak {
    #[arg(short = 'm', long, default_value = "200", value_parser = up_to::<1_000_000>)]
    sessions: usize,
    /// Subscribers of each session
    #[arg(short = 'k', long, default_value = "3", value_parser = up_to::<1_000>)]
    subscribers: usize,
    /// Switches of each session a second
    #[arg(short = 'r', long, default_value = "1", value_parser = per_second)]
    rate: f64,
    #[arg(long = "transport", value_enum, value_delimiter = ',', default_value = "ws,sse,poll")]
    transports: Vec<Transport>,
    #[arg(long, default_value = "600", value_parser = seconds)]
    seconds: Duration,
    /// Seconds of a round; after each, memory is looked at
    #[arg(long, default_value = "10", value_parser = seconds)]
    round: Duration,
    /// Subscribers that leave and come back each round
    #[arg(long, default_value = "50", value_parser = up_to::<1_000_000>)]
    recycled: usize,
    /// Short sessions that are made, run out and are deleted each round
    #[arg(long, default_value = "20", value_parser = up_to::<100_000>)]
    short: usize,
}

/// The sums of all rounds.
#[derive(Default)]
struct Sum {
    command: Latencies,
    arrival: Latencies,
    delivered: u64,
    errors: Errors,
    /// Of each group, when and how many bytes were resident.
    memory: Vec<(String, Vec<(f64, f64)>)>,
}

impl Soak {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let sessions = bench.sessions(self.sessions).await?;
        let count = self.sessions * self.subscribers;
        let (mut audience, _) = bench.audience(&sessions, count, &self.transports).await?;
        let meter = Meter::start(&bench.groups);
        let began = Instant::now();
        let mut sum = Sum::default();
        while began.elapsed() < self.seconds {
            self.round(bench, &mut audience, &sessions, &mut sum).await?;
            sum.look(bench, began.elapsed().as_secs_f64());
        }
        let (usage, span) = (meter.stop(), began.elapsed());

        let mut report = bench.report("soak");
        report.setting("sessions", self.sessions);
        report.setting("subscribers", self.subscribers);
        report.setting("transport", names(&self.transports));
        report.setting("rate", self.rate);
        report.setting("seconds", self.seconds.as_secs_f64());
        report.rate("commands", sum.command.count(), span);
        report.rate("deliveries", sum.delivered, span);
        report.usage(&usage, sum.delivered);
        let counts = audience.counts().await?;
        report.count("skipped", counts.skipped);
        report.count("repeated", counts.repeated);
        tell_streams(&mut report, &counts);
        sum.tell(&mut report);
        Ok(report)
    }

    async fn round(
        &self,
        bench: &Bench,
        audience: &mut Audience,
        sessions: &Arc<[Session]>,
        sum: &mut Sum,
    ) -> Result<(), Failure> {
        self.short_ones(bench, &mut sum.errors).await?;
        audience.request(&Request::Recycle(self.recycled)).await?;
        let all = (self.sessions * self.subscribers) as u64;
        audience.until(self.round, |counts| counts.open + counts.failed >= all).await?;
        let round = Round::run(bench, audience, sessions, &self.plan()).await?;
        sum.add(round);
        Ok(())
    }

    async fn short_ones(&self, bench: &Bench, errors: &mut Errors) -> Result<(), Failure> {
        let short = session::make(&bench.target, self.short, |_| SHORT_BANK_MS).await?;
        sleep_until(Instant::now() + Duration::from_millis(2 * SHORT_BANK_MS)).await;
        let mut http = Http::new(bench.target.instance(0), None);
        for session in short {
            let request = bench.target.request("DELETE", &format!("/v1/sessions/{}", session.id), "");
            let (response, _) = http.call(&request).await?;
            if response.status() != 204 {
                *errors.entry(format!("delete: {}", session::refusal(response))).or_default() += 1;
            }
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        Plan {
            workers: 16,
            per_second: Some(self.rate * real(self.sessions as u64)),
            warmup: Duration::ZERO,
            span: self.round,
            over: CommandTransport::Http,
            takes_turns: false,
            is_watched: true,
        }
    }
}

impl Sum {
    fn add(&mut self, round: Round) {
        self.command.add(&round.done.from_due);
        self.arrival.add(&of(&round.harvest.arrival));
        self.delivered += round.harvest.delivered;
        for (why, count) in round.done.errors {
            *self.errors.entry(why).or_default() += count;
        }
    }

    fn look(&mut self, bench: &Bench, at: f64) {
        for (group, pids) in &bench.groups {
            let bytes = real(memory(&family(pids)).resident);
            match self.memory.iter_mut().find(|(name, _)| name == group) {
                Some((_, looks)) => looks.push((at, bytes)),
                None => self.memory.push((group.clone(), vec![(at, bytes)])),
            }
        }
    }

    fn tell(self, report: &mut Report) {
        report.latencies("command", &self.command);
        report.latencies("arrival", &self.arrival);
        report.errors(self.errors);
        for (group, looks) in &self.memory {
            // What is allocated once is there after a third.
            let settled = &looks[looks.len() / 3..];
            report
                .figure(&format!("{group}_resident_first_bytes"), looks.first().map_or(f64::NAN, |(_, bytes)| *bytes));
            report.figure(&format!("{group}_resident_last_bytes"), looks.last().map_or(f64::NAN, |(_, bytes)| *bytes));
            report.figure(&format!("{group}_grows_an_hour_bytes"), slope(settled) * 3_600.0);
        }
    }
}

/// How much `y` grows with `x`, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = real(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    ratio(together, points.iter().map(|point| (point.0 - x).powi(2)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let growing: Vec<_> = [0.0, 1.0, 2.0, 3.0].map(|at| (at, 100.0 + 5.0 * at)).into();
        assert!((slope(&growing) - 5.0).abs() < 1e-9);
        assert!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 3.0), (3.0, 1.0)]).abs() < 1e-9);
        assert!(slope(&[(1.0, 1.0)]).is_nan());
    }
}

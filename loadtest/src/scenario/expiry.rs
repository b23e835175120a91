//! How late expiries are announced.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Bench, seconds, up_to};
use crate::clock;
use crate::cluster_time::Offset;
use crate::failure::Failure;
use crate::host::meter::Meter;
use crate::report::Report;
use crate::report::latencies::Latencies;
use crate::session::{self, Session};
use crate::target::Target;
use crate::websocket;

/// Sessions that one stream may follow.
const MAX_FOLLOWED_SESSIONS: usize = 1_000;

/// How long after the last deadline frames may arrive.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many clocks, and when they run out.
#[derive(Debug, Clone, clap::Args)]
pub struct Expiry {
    #[arg(short = 'm', long, default_value = "10000", value_parser = up_to::<1_000_000>)]
    timers: usize,
    /// Seconds over which they run out
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before that, in which all are made and followed; by default a second for every thousand, and two
    #[arg(long, value_parser = seconds)]
    lead: Option<Duration>,
}

/// The announced expiries.
#[derive(Debug, Default)]
struct ExpiryCounts {
    lateness: Latencies,
    /// Announced more than once, or never.
    repeated: u64,
    /// Sessions that had expired before their stream followed them: the lead was too short, or a stream fell behind.
    over_before: u64,
    missing: u64,
}

/// How a stream shows an expiry.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// By its own frame, which says when.
    Announced { at_ns: u64 },
    /// By a whole state, in which it has happened.
    AlreadyExpired,
}

/// One stream, and what came over it.
struct Watch {
    sessions: Vec<String>,
    seen: Vec<bool>,
    told: ExpiryCounts,
    offset: Offset,
}

impl Expiry {
    pub async fn run(&self, bench: &Bench) -> Result<Report, Failure> {
        let offset = Offset::measure(&bench.target).await?;
        let lead = self.lead.unwrap_or_else(|| Duration::from_millis(self.timers as u64 + 2_000));
        bench.progress.begin("timers", self.timers);
        let sessions = session::make(&bench.target, self.timers, |nth| self.bank_ms(lead, nth)).await?;
        let by = Instant::now() + lead + self.seconds + SETTLE_TIMEOUT;
        let mut watches = follow(&bench.target, &sessions, offset, by).await?;
        let meter = Meter::start(&bench.groups);
        bench.progress.until("running out", by - SETTLE_TIMEOUT).await;
        let mut told = ExpiryCounts::default();
        while let Some(part) = watches.join_next().await {
            told.add(&part.map_err(std::io::Error::other)??);
        }
        let usage = meter.stop();

        let mut report = bench.report("expiry");
        report.setting("timers", self.timers);
        report.setting("seconds", self.seconds.as_secs_f64());
        report.latencies("lateness", &told.lateness);
        report.count("told", told.lateness.count());
        report.count("repeated", told.repeated);
        report.count("missing", told.missing);
        report.count("over_before", told.over_before);
        report.figure("cluster_offset", offset.ms());
        report.usage(&usage, told.lateness.count());
        Ok(report)
    }

    /// Neighbours run out one after the other, each on its own millisecond where there are enough of them.
    fn bank_ms(&self, lead: Duration, nth: usize) -> u64 {
        let spread = u64::try_from(self.seconds.as_millis()).unwrap_or_default();
        let lead = u64::try_from(lead.as_millis()).unwrap_or_default();
        (lead + spread * nth as u64 / self.timers as u64).max(1)
    }
}

/// Follows all sessions, on the instances in turn.
async fn follow(
    target: &Target,
    sessions: &[Session],
    offset: Offset,
    by: Instant,
) -> Result<JoinSet<Result<ExpiryCounts, Failure>>, Failure> {
    let target = Arc::new(target.clone());
    let mut watches = JoinSet::new();
    for (nth, some) in sessions.chunks(MAX_FOLLOWED_SESSIONS).enumerate() {
        let stream = websocket::connect(&target, target.instance(nth), "/v1/ws?warnings=0").await?;
        watches.spawn(Watch::of(some, offset).run(stream, by));
    }
    Ok(watches)
}

impl Watch {
    /// Sorted, so that a frame's session is found quickly.
    fn of(sessions: &[Session], offset: Offset) -> Self {
        let mut sessions: Vec<_> = sessions.iter().map(|session| session.id.clone()).collect();
        sessions.sort_unstable();
        Self { seen: vec![false; sessions.len()], sessions, told: ExpiryCounts::default(), offset }
    }

    async fn run(mut self, mut stream: WebSocketStream<TcpStream>, by: Instant) -> Result<ExpiryCounts, Failure> {
        for session in &self.sessions {
            let frame = json!({"type": "SUBSCRIBE", "session_id": session}).to_string();
            stream.feed(Message::text(frame)).await.map_err(Box::new)?;
        }
        stream.flush().await.map_err(Box::new)?;
        while self.seen.contains(&false) {
            let Ok(Some(message)) = timeout_at(by, stream.next()).await else { break };
            if let Message::Text(text) = message.map_err(Box::new)? {
                self.saw(&text, clock::wall_ns());
            }
        }
        self.told.missing = self.seen.iter().filter(|seen| !**seen).count() as u64;
        Ok(self.told)
    }

    fn saw(&mut self, frame: &str, now_ns: u64) {
        let Some((session, end)) = End::read(frame) else { return };
        let Ok(place) = self.sessions.binary_search(&session) else { return };
        let was_seen = std::mem::replace(&mut self.seen[place], true);
        match end {
            End::Announced { .. } if was_seen => self.told.repeated += 1,
            End::Announced { at_ns } => self.told.lateness.record_between(at_ns, self.offset.on_theirs(now_ns)),
            End::AlreadyExpired => self.told.over_before += u64::from(!was_seen),
        }
    }
}

impl End {
    /// Whose time ran out, and how that is known. Other frames are passed over without reading them.
    fn read(frame: &str) -> Option<(String, Self)> {
        let is_told = frame.starts_with("{\"type\":\"TIME_EXPIRED\"");
        if !is_told && !frame.starts_with("{\"type\":\"STATE_SYNC\"") {
            return None;
        }
        let frame: Value = serde_json::from_str(frame).ok()?;
        let session = frame["session_id"].as_str()?.to_owned();
        let payload = &frame["payload"];
        if !is_told {
            return (payload["status"] == "expired").then_some((session, Self::AlreadyExpired));
        }
        let at = OffsetDateTime::parse(payload["expired_at"].as_str()?, &Rfc3339).ok()?;
        Some((session, Self::Announced { at_ns: u64::try_from(at.unix_timestamp_nanos()).ok()? }))
    }
}

impl ExpiryCounts {
    fn add(&mut self, other: &Self) {
        self.lateness.add(&other.lateness);
        self.repeated += other.repeated;
        self.over_before += other.over_before;
        self.missing += other.missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_out_is_read() {
        let frame = r#"{"type":"TIME_EXPIRED","session_id":"s","position":"1-3","payload":{"expired_at":"2026-01-01T00:00:00.250Z"}}"#;
        let told = End::Announced { at_ns: 1_767_225_600_250_000_000 };
        assert_eq!(End::read(frame), Some(("s".to_owned(), told)));
        let sync = |status| format!(r#"{{"type":"STATE_SYNC","session_id":"s","payload":{{"status":"{status}"}}}}"#);
        assert_eq!(End::read(&sync("expired")), Some(("s".to_owned(), End::AlreadyExpired)));
        assert_eq!(End::read(&sync("running")), None);
        assert_eq!(End::read(r#"{"type":"STATE_UPDATE"}"#), None);
    }

    #[test]
    fn they_run_out_evenly() {
        let expiry = Expiry { timers: 4, seconds: Duration::from_secs(2), lead: None };
        let banks: Vec<_> = (0..4).map(|nth| expiry.bank_ms(Duration::from_secs(1), nth)).collect();
        assert_eq!(banks, [1_000, 1_500, 2_000, 2_500]);
    }
}

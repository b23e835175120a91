//! One table of every metric. A new metric is a name and a row here, and a call where it happens.
//!
//! Units are base units in the plural, and counters end in `_total`. Neither a tenant nor a
//! session is a label: there may be millions of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;

/// How long a request took.
pub const HTTP_REQUEST_DURATION_SECONDS: &str = "synckairos_http_request_duration_seconds";
/// Commands, by outcome.
pub const COMMANDS_TOTAL: &str = "synckairos_commands_total";
/// How often a commit was tried.
pub const COMPARE_AND_SET_ATTEMPTS: &str = "synckairos_compare_and_set_attempts";
/// How long the store took.
pub const STORE_OPERATION_DURATION_SECONDS: &str = "synckairos_store_operation_duration_seconds";
/// Partitions found in another store generation.
pub const STORE_GENERATION_CHANGES_TOTAL: &str = "synckairos_store_generation_changes_total";
/// Whether Redis may evict keys.
pub const STORE_EVICTS: &str = "synckairos_store_evicts";
/// From storing a version to handing it to a subscriber.
pub const FANOUT_LAG_SECONDS: &str = "synckairos_fanout_lag_seconds";
/// Frames, by direction.
pub const FRAMES_TOTAL: &str = "synckairos_frames_total";
/// Versions missing between two received.
pub const GAPS_TOTAL: &str = "synckairos_gaps_total";
/// Subscribers, by transport.
pub const SUBSCRIBERS: &str = "synckairos_subscribers";
/// Versions skipped for slow subscribers.
pub const SNAPSHOTS_SKIPPED_TOTAL: &str = "synckairos_snapshots_skipped_total";
/// Streams the service closed.
pub const STREAM_CLOSES_TOTAL: &str = "synckairos_stream_closes_total";
/// How late expiries were announced.
pub const DEADLINE_LATENESS_SECONDS: &str = "synckairos_deadline_lateness_seconds";
/// Audit entries, by outcome.
pub const AUDIT_JOBS_TOTAL: &str = "synckairos_audit_jobs_total";
/// Entries not in the ledger yet.
pub const AUDIT_BACKLOG: &str = "synckairos_audit_backlog";
/// Bodies shed because the ledger fell too far behind.
pub const OUTBOX_SHED_TOTAL: &str = "synckairos_outbox_shed_total";
/// Audit entries that the ledger refused for good.
pub const DEAD_LETTERS: &str = "synckairos_dead_letters";
/// Forks: two links at one position.
pub const FORKS_TOTAL: &str = "synckairos_forks_total";
/// Whether another deployment writes to the ledger.
pub const LEDGER_CONTESTED: &str = "synckairos_ledger_contested";
/// Reads of sessions missing in the store, by outcome.
pub const RESTORING_TOTAL: &str = "synckairos_restoring_total";
/// Whether a breaker is open.
pub const BREAKER_OPEN: &str = "synckairos_breaker_open";
/// How often a breaker opened.
pub const BREAKER_OPENED_TOTAL: &str = "synckairos_breaker_opened_total";
/// Calls rejected by an open breaker.
pub const BREAKER_TURNED_AWAY_TOTAL: &str = "synckairos_breaker_turned_away_total";
/// How long the ledger took.
pub const LEDGER_OPERATION_DURATION_SECONDS: &str = "synckairos_ledger_operation_duration_seconds";
/// The uncertainty of cluster time.
pub const CLOCK_UNCERTAINTY_SECONDS: &str = "synckairos_clock_uncertainty_seconds";
/// Exchanges with the reference clock, by outcome.
pub const CLOCK_EXCHANGES_TOTAL: &str = "synckairos_clock_exchanges_total";
/// Claims of a reference's offset by this instance.
pub const CLOCK_CLAIMS_TOTAL: &str = "synckairos_clock_claims_total";
/// Instances with a lease.
pub const MEMBERS: &str = "synckairos_members";
/// Partitions of the due set that this instance owns.
pub const PARTITIONS_OWNED: &str = "synckairos_partitions_owned";
/// Leases that lapsed while their instance ran.
pub const LEASES_LAPSED_TOTAL: &str = "synckairos_leases_lapsed_total";
/// Connections that are open.
pub const CONNECTIONS: &str = "synckairos_connections";
/// Connections dropped, by reason.
pub const CONNECTIONS_DROPPED_TOTAL: &str = "synckairos_connections_dropped_total";
/// Requests rejected by a rate limit.
pub const RATE_LIMITED_TOTAL: &str = "synckairos_rate_limited_total";
/// Entries of each cache.
pub const CACHE_ENTRIES: &str = "synckairos_cache_entries";
/// Version and commit.
pub const BUILD_INFO: &str = "synckairos_build_info";

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only goes up.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Its values are counted in buckets, in the metric's unit.
    Histogram(&'static [f64]),
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels; each value has all of them.
    pub labels: &'static [&'static str],
    /// Its help text in a scrape.
    pub help: &'static str,
}

/// From half a millisecond, as the target is a few, to the time-out of a caller.
const DURATION_BUCKETS: Kind =
    Kind::Histogram(&[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]);
const ATTEMPT_BUCKETS: Kind = Kind::Histogram(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]);

const fn row(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    row(
        HTTP_REQUEST_DURATION_SECONDS,
        DURATION_BUCKETS,
        &["route", "method", "status_class"],
        "How long a request took",
    ),
    row(
        COMMANDS_TOTAL,
        Kind::Counter,
        &["command", "outcome"],
        "Commands: applied, replayed, refused, contended or failed",
    ),
    row(COMPARE_AND_SET_ATTEMPTS, ATTEMPT_BUCKETS, &[], "How often a commit was tried until it was decided"),
    row(STORE_OPERATION_DURATION_SECONDS, DURATION_BUCKETS, &["operation", "backend"], "How long the store took"),
    row(
        STORE_GENERATION_CHANGES_TOTAL,
        Kind::Counter,
        &[],
        "How often a partition was found in another store generation",
    ),
    row(STORE_EVICTS, Kind::Gauge, &[], "1 while Redis may evict sessions when it is full"),
    row(
        FANOUT_LAG_SECONDS,
        DURATION_BUCKETS,
        &[],
        "From receiving a version on an instance to handing it to a subscriber there",
    ),
    row(FRAMES_TOTAL, Kind::Counter, &["direction"], "Frames on the streams: in or out"),
    row(GAPS_TOTAL, Kind::Counter, &[], "Versions missing between two received"),
    row(SUBSCRIBERS, Kind::Gauge, &["transport"], "Subscribers"),
    row(SNAPSHOTS_SKIPPED_TOTAL, Kind::Counter, &["transport"], "Versions skipped for slow subscribers"),
    row(STREAM_CLOSES_TOTAL, Kind::Counter, &["code"], "Streams the service closed"),
    row(DEADLINE_LATENESS_SECONDS, DURATION_BUCKETS, &[], "How long after its instant an expiry was announced"),
    row(AUDIT_JOBS_TOTAL, Kind::Counter, &["outcome"], "Audit entries: recorded, retried or dead"),
    row(AUDIT_BACKLOG, Kind::Gauge, &[], "Audit entries that are not in the ledger yet"),
    row(OUTBOX_SHED_TOTAL, Kind::Counter, &[], "Bodies of intermediate versions that were shed; their links stay"),
    row(
        DEAD_LETTERS,
        Kind::Gauge,
        &[],
        "Audit entries of the whole deployment that the ledger refused for good; only the store holds them",
    ),
    row(FORKS_TOTAL, Kind::Counter, &[], "Forks: two links at one position; both are kept"),
    row(
        LEDGER_CONTESTED,
        Kind::Gauge,
        &[],
        "1 while another deployment writes to the ledger, and this one writes nothing",
    ),
    row(
        RESTORING_TOTAL,
        Kind::Counter,
        &["outcome"],
        "Reads of sessions missing in the store: restored, unknown or remembered as unknown",
    ),
    row(BREAKER_OPEN, Kind::Gauge, &["of"], "1 while the breaker is open"),
    row(BREAKER_OPENED_TOTAL, Kind::Counter, &["of"], "How often a breaker opened"),
    row(BREAKER_TURNED_AWAY_TOTAL, Kind::Counter, &["of"], "Calls rejected by an open breaker"),
    row(LEDGER_OPERATION_DURATION_SECONDS, DURATION_BUCKETS, &["operation", "backend"], "How long the ledger took"),
    row(CLOCK_UNCERTAINTY_SECONDS, Kind::Gauge, &[], "The uncertainty of cluster time on this instance"),
    row(
        CLOCK_EXCHANGES_TOTAL,
        Kind::Counter,
        &["outcome"],
        "Exchanges with the reference clock: answered or unanswered",
    ),
    row(CLOCK_CLAIMS_TOTAL, Kind::Counter, &[], "Claims of the offset of a reference clock by this instance"),
    row(MEMBERS, Kind::Gauge, &[], "Live instances, as this one sees them; 0 while it holds no lease"),
    row(PARTITIONS_OWNED, Kind::Gauge, &[], "Partitions of the due set that this instance owns"),
    row(LEASES_LAPSED_TOTAL, Kind::Counter, &[], "Leases of this instance that ended because they were not renewed"),
    row(CONNECTIONS, Kind::Gauge, &["listener"], "Connections that are open: to requests or metrics"),
    row(
        CONNECTIONS_DROPPED_TOTAL,
        Kind::Counter,
        &["listener", "reason"],
        "Connections dropped to make room (limit, address), for lack of descriptors, or past a deadline (head, write)",
    ),
    row(RATE_LIMITED_TOTAL, Kind::Counter, &["bucket"], "Requests rejected by a rate limit"),
    row(
        CACHE_ENTRIES,
        Kind::Gauge,
        &["cache"],
        "Entries of each cache of this process: sessions (8,192 at most), unknown_ids (16,384), tokens (8,192), \
        topics (watched, or left within a minute), warnings (of topics), stored_sessions (embedded, until idle)",
    ),
    row(BUILD_INFO, Kind::Gauge, &["version", "commit"], "Always 1; the labels say what is running"),
];

/// Counts a decided command.
pub fn count_command(command: &'static str, outcome: &'static str) {
    metrics::counter!(COMMANDS_TOTAL, "command" => command, "outcome" => outcome).increment(1);
}

/// Records an answered request.
pub fn record_request(route: &str, method: &'static str, status: u16, took: Duration) {
    REQUESTS.with_borrow_mut(|known| match known.get_mut(route) {
        Some(kinds) => kinds.of(route, method, status).record(took),
        None => known.entry(route.to_owned()).or_default().of(route, method, status).record(took),
    });
}

thread_local! {
    /// By route, of which there are few. A lookup by all labels of a histogram would take longer
    /// than all other work around a request.
    static REQUESTS: RefCell<HashMap<String, RouteHistograms>> = RefCell::default();
}

/// The histograms of one route, by method and class of status.
#[derive(Default)]
struct RouteHistograms(Vec<(&'static str, u16, metrics::Histogram)>);

impl RouteHistograms {
    fn of(&mut self, route: &str, method: &'static str, status: u16) -> &metrics::Histogram {
        let class = status / 100;
        let found = self.0.iter().position(|(known, its, _)| (*known, *its) == (method, class));
        let place = found.unwrap_or_else(|| {
            self.0.push((method, class, request_histogram(route, method, status)));
            self.0.len() - 1
        });
        &self.0[place].2
    }
}

/// The histogram of one kind of request, for callers that answer many of them.
pub fn request_histogram(route: &str, method: &'static str, status: u16) -> metrics::Histogram {
    let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(status / 100).clamp(1, 5) - 1];
    metrics::histogram!(
        HTTP_REQUEST_DURATION_SECONDS,
        "route" => route.to_owned(), "method" => method, "status_class" => class
    )
}

/// Sets the number of dead letters in the whole deployment.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; the last bit does not matter")]
pub fn set_dead_letters(letters: u64) {
    metrics::gauge!(DEAD_LETTERS).set(letters as f64);
}

/// Counts a fork.
pub fn count_fork() {
    metrics::counter!(FORKS_TOTAL).increment(1);
}

/// Sets the number of entries of a cache.
#[expect(clippy::cast_precision_loss, reason = "no process has that many")]
pub fn set_cache_entries(cache: &'static str, entries: usize) {
    metrics::gauge!(CACHE_ENTRIES, "cache" => cache).set(entries as f64);
}

/// Counts a read of a session that the store did not hold.
pub fn count_restore(outcome: &'static str) {
    metrics::counter!(RESTORING_TOTAL, "outcome" => outcome).increment(1);
}

/// Records the attempts of a decided commit.
pub fn record_commit_attempts(attempts: u32) {
    static ATTEMPTS: LazyLock<metrics::Histogram> = LazyLock::new(|| metrics::histogram!(COMPARE_AND_SET_ATTEMPTS));
    ATTEMPTS.record(f64::from(attempts));
}

/// Records how many microseconds after its instant an event was announced.
#[expect(clippy::cast_precision_loss, reason = "a lateness of centuries may be off by a microsecond")]
pub fn record_deadline_lateness(late_us: i64) {
    metrics::histogram!(DEADLINE_LATENESS_SECONDS).record(late_us as f64 / 1e6);
}

/// Sets the uncertainty of cluster time, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "an uncertainty of centuries may be off by a microsecond")]
pub fn set_clock_uncertainty(by_us: i64) {
    metrics::gauge!(CLOCK_UNCERTAINTY_SECONDS).set(by_us as f64 / 1e6);
}

/// Sets whether Redis may evict keys.
pub fn set_store_evicts(evicts: bool) {
    metrics::gauge!(STORE_EVICTS).set(u8::from(evicts));
}

/// Sets the number of live instances, and of partitions that this one owns.
#[expect(clippy::cast_precision_loss, reason = "there are not that many instances")]
pub fn set_membership(members: usize, owned: u32) {
    metrics::gauge!(MEMBERS).set(members as f64);
    metrics::gauge!(PARTITIONS_OWNED).set(owned);
}

/// How often samples move into their buckets, so that they take no memory between scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A handle to the metrics of this process.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// The text of a scrape.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render() + &process::render()
    }

    /// Moves samples into their buckets, until it is dropped.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.0.run_upkeep();
        }
    }
}

/// The process's recorder. The first call installs it; servers in one process share it.
pub fn install() -> Recorder {
    static INSTALLED: OnceLock<Recorder> = OnceLock::new();
    INSTALLED.get_or_init(start).clone()
}

fn start() -> Recorder {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: metrics stay empty");
    }
    describe_all();
    init_all();
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "commit" => commit()).set(1);
    Recorder(handle)
}

/// The commit, if the build had one in its environment.
fn commit() -> &'static str {
    option_env!("SYNCKAIROS_COMMIT").unwrap_or("unknown")
}

/// The exporter refuses only an empty list of buckets; a test below excludes that.
fn builder() -> PrometheusBuilder {
    METRICS.iter().try_fold(PrometheusBuilder::new(), with_buckets).unwrap_or_default()
}

fn with_buckets(builder: PrometheusBuilder, metric: &Metric) -> Result<PrometheusBuilder, BuildError> {
    match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Kind::Counter | Kind::Gauge => Ok(builder),
    }
}

fn describe_all() {
    for metric in METRICS {
        let unit = if metric.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

/// Starts metrics without labels at zero: an alert on the increase of a counter that does not
/// exist yet would miss its first step.
fn init_all() {
    for metric in METRICS.iter().filter(|metric| metric.labels.is_empty()) {
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name).increment(0),
            Kind::Gauge => metrics::gauge!(metric.name).set(0),
            Kind::Histogram(_) => drop(metrics::histogram!(metric.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_naming_guide_and_are_unique() {
        for metric in METRICS {
            assert!(metric.name.starts_with("synckairos_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(!metric.name.contains("_ms"), "{}", metric.name);
            assert_eq!(METRICS.iter().filter(|other| other.name == metric.name).count(), 1, "{}", metric.name);
        }
    }

    #[test]
    fn no_label_has_a_value_for_each_tenant_or_session() {
        for metric in METRICS {
            for label in metric.labels {
                assert!(!["tenant", "session", "session_id", "participant", "subject", "path"].contains(label));
            }
        }
    }

    #[test]
    fn buckets_rise() {
        for metric in METRICS {
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(!buckets.is_empty() && buckets.is_sorted(), "{}", metric.name);
            }
        }
    }

    #[test]
    fn installing_twice_gives_the_same_numbers() {
        let (one, two) = (install(), install());
        metrics::histogram!(DEADLINE_LATENESS_SECONDS).record(0.003);
        for recorder in [one, two] {
            let text = recorder.render();
            assert!(text.contains("synckairos_deadline_lateness_seconds_bucket{le=\"0.005\"}"), "{text}");
        }
    }
}

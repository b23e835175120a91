//! One table of every metric. A new metric is a row here, and a call where it happens.
//!
//! Units are base units in the plural, and counters end in `_total`. Neither a tenant nor a
//! session is a label: there may be millions of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use self::Kind::{Counter, Gauge, Histogram};
use super::process;

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
const DURATIONS: Kind =
    Histogram(&[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]);
const ATTEMPTS: Kind = Histogram(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]);

/// The table: a constant of each metric's name, and [`METRICS`].
macro_rules! metrics {
    ($($constant:ident $name:literal $kind:ident [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*

        /// Every metric.
        pub const METRICS: &[Metric] =
            &[$(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help }),*];
    };
}

metrics! {
    HTTP_REQUEST_DURATION_SECONDS "synckairos_http_request_duration_seconds" DURATIONS ["route", "method", "status_class"]
        "How long a request took";
    COMMANDS_TOTAL "synckairos_commands_total" Counter ["command", "outcome"]
        "Commands: applied, replayed, refused, contended or failed";
    COMPARE_AND_SET_ATTEMPTS "synckairos_compare_and_set_attempts" ATTEMPTS []
        "How often a commit was tried until it was decided";
    STORE_OPERATION_DURATION_SECONDS "synckairos_store_operation_duration_seconds" DURATIONS ["operation", "backend"]
        "How long the store took";
    STORE_GENERATION_CHANGES_TOTAL "synckairos_store_generation_changes_total" Counter []
        "How often a partition was found in another store generation";
    STORE_EVICTS "synckairos_store_evicts" Gauge [] "1 while Redis may evict sessions when it is full";
    FANOUT_LAG_SECONDS "synckairos_fanout_lag_seconds" DURATIONS []
        "From receiving a version on an instance to handing it to a subscriber there";
    FRAMES_TOTAL "synckairos_frames_total" Counter ["direction"] "Frames on the streams: in or out";
    GAPS_TOTAL "synckairos_gaps_total" Counter [] "Versions missing between two received";
    SUBSCRIBERS "synckairos_subscribers" Gauge ["transport"] "Subscribers";
    SNAPSHOTS_SKIPPED_TOTAL "synckairos_snapshots_skipped_total" Counter ["transport"]
        "Versions skipped for slow subscribers";
    STREAM_CLOSES_TOTAL "synckairos_stream_closes_total" Counter ["code"] "Streams the service closed";
    DEADLINE_LATENESS_SECONDS "synckairos_deadline_lateness_seconds" DURATIONS []
        "How long after its instant an expiry was announced";
    AUDIT_JOBS_TOTAL "synckairos_audit_jobs_total" Counter ["outcome"] "Audit entries: recorded, retried or dead";
    AUDIT_BACKLOG "synckairos_audit_backlog" Gauge [] "Audit entries that are not in the ledger yet";
    OUTBOX_SHED_TOTAL "synckairos_outbox_shed_total" Counter []
        "Bodies of intermediate versions that were shed; their links stay";
    DEAD_LETTERS "synckairos_dead_letters" Gauge []
        "Audit entries of the whole deployment that the ledger refused for good; only the store holds them";
    FORKS_TOTAL "synckairos_forks_total" Counter [] "Forks: two links at one position; both are kept";
    LEDGER_CONTESTED "synckairos_ledger_contested" Gauge []
        "1 while another deployment writes to the ledger, and this one writes nothing";
    RESTORING_TOTAL "synckairos_restoring_total" Counter ["outcome"]
        "Reads of sessions missing in the store: restored, unknown, or cached as unknown";
    BREAKER_OPEN "synckairos_breaker_open" Gauge ["of"] "1 while the breaker is open";
    BREAKER_OPENED_TOTAL "synckairos_breaker_opened_total" Counter ["of"] "How often a breaker opened";
    BREAKER_TURNED_AWAY_TOTAL "synckairos_breaker_turned_away_total" Counter ["of"] "Calls rejected by an open breaker";
    LEDGER_OPERATION_DURATION_SECONDS "synckairos_ledger_operation_duration_seconds" DURATIONS ["operation", "backend"]
        "How long the ledger took";
    CLOCK_UNCERTAINTY_SECONDS "synckairos_clock_uncertainty_seconds" Gauge []
        "The uncertainty of cluster time on this instance";
    CLOCK_EXCHANGES_TOTAL "synckairos_clock_exchanges_total" Counter ["outcome"]
        "Exchanges with the reference clock: answered or unanswered";
    CLOCK_CLAIMS_TOTAL "synckairos_clock_claims_total" Counter []
        "Claims of the offset of a reference clock by this instance";
    MEMBERS "synckairos_members" Gauge [] "Live instances, as this one sees them; 0 while it holds no lease";
    PARTITIONS_OWNED "synckairos_partitions_owned" Gauge [] "Partitions of the due set that this instance owns";
    LEASES_LAPSED_TOTAL "synckairos_leases_lapsed_total" Counter []
        "Leases of this instance that ended because they were not renewed";
    CONNECTIONS "synckairos_connections" Gauge ["listener"] "Connections that are open: to requests or metrics";
    CONNECTIONS_DROPPED_TOTAL "synckairos_connections_dropped_total" Counter ["listener", "reason"]
        "Connections dropped to make room (limit, address), for lack of descriptors, or past a deadline (head, write)";
    RATE_LIMITED_TOTAL "synckairos_rate_limited_total" Counter ["class"]
        "Rejected by a rate limit: read, command, connect, bulk, refused_token, tenant_commands, tenant_creates, or ledger";
    RATE_LIMIT_KEYS "synckairos_rate_limit_keys" Gauge ["class", "kind"]
        "Callers with a bucket of their own (100,000 at most), and callers with a penalty (10,000 at most)";
    ADDRESSES_DENIED_TOTAL "synckairos_addresses_denied_total" Counter ["reason"]
        "Requests, and connections, from addresses that are not let in: deny_addresses, deny_countries, not_allowed or tenant";
    GEOIP_LOADS_TOTAL "synckairos_geoip_loads_total" Counter ["outcome"]
        "Readings of the file with the countries of addresses: loaded, or failed and the one before stays";
    STREAMS_REFUSED_TOTAL "synckairos_streams_refused_total" Counter ["reason"]
        "Streams that were not opened, as the subject, tenant or session has too many, or nobody can count them (uncounted)";
    CACHE_ENTRIES "synckairos_cache_entries" Gauge ["cache"]
        "Entries of each cache of this process: sessions (8,192 at most), unknown_ids (16,384), tokens (8,192), \
        topics (watched, or left within a minute), warnings (of topics), tenant_quotas (10,000), stored_sessions (embedded, until idle), \
         revocations (10,000 a tenant), activity (50,000 principals and addresses)";
    SECURITY_EVENTS_TOTAL "synckairos_security_events_total" Counter ["kind"]
        "Security events by kind, those of no tenant included";
    SECURITY_EVENTS_SHED_TOTAL "synckairos_security_events_shed_total" Counter []
        "Security events that are not in the ledger, as there were too many or it was away for too long";
    ANOMALIES_TOTAL "synckairos_anomalies_total" Counter ["kind"]
        "Principals and addresses that left their usual range: refusals, replays, wrong_tokens or commands";
    CONTROL_REVISION "synckairos_control_revision" Gauge []
        "The revision of settings and revocations in force on this instance; -1 while it knows none";
    BUILD_INFO "synckairos_build_info" Gauge ["version", "commit"] "Always 1; the labels say what is running";
}

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

/// Sets how many callers a class of limits counts, and how many it has refused of late.
#[expect(clippy::cast_precision_loss, reason = "there are not that many callers")]
pub fn set_rate_limit_keys(class: &'static str, callers: usize, penalties: usize) {
    metrics::gauge!(RATE_LIMIT_KEYS, "class" => class, "kind" => "callers").set(callers as f64);
    metrics::gauge!(RATE_LIMIT_KEYS, "class" => class, "kind" => "penalties").set(penalties as f64);
}

/// Counts security events of a kind.
pub fn count_security_events(kind: &'static str, times: u64) {
    metrics::counter!(SECURITY_EVENTS_TOTAL, "kind" => kind).increment(times);
}

/// Counts security events that the ledger will not hold.
pub fn count_shed_security_events(events: u64) {
    metrics::counter!(SECURITY_EVENTS_SHED_TOTAL).increment(events);
}

/// Counts an actor that left its usual range.
pub fn count_anomaly(kind: &'static str) {
    metrics::counter!(ANOMALIES_TOTAL, "kind" => kind).increment(1);
}

/// Sets the revision of settings and revocations in force; `None` while none is known.
#[expect(clippy::cast_precision_loss, reason = "nobody changes settings that often")]
pub fn set_control_revision(revision: Option<u64>) {
    metrics::gauge!(CONTROL_REVISION).set(revision.map_or(-1.0, |revision| revision as f64));
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
        Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Counter | Gauge => Ok(builder),
    }
}

fn describe_all() {
    for metric in METRICS {
        let unit = if metric.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match metric.kind {
            Counter => describe_counter!(metric.name, unit, metric.help),
            Gauge => describe_gauge!(metric.name, unit, metric.help),
            Histogram(_) => describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

/// Starts metrics without labels at zero: an alert on the increase of a counter that does not
/// exist yet would miss its first step.
fn init_all() {
    for metric in METRICS.iter().filter(|metric| metric.labels.is_empty()) {
        match metric.kind {
            Counter => metrics::counter!(metric.name).increment(0),
            Gauge => metrics::gauge!(metric.name).set(0),
            Histogram(_) => drop(metrics::histogram!(metric.name)),
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
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
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
            if let Histogram(buckets) = metric.kind {
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

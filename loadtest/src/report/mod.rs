//! The report of a run: figures by name, as JSON and as a table.

pub mod compare;
pub mod latencies;
mod numbers;
pub mod table;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::failure::Failure;
use crate::host::meter::Usage;
use latencies::Latencies;

pub use numbers::{ratio, real};

/// The settings of a run, by name.
pub type Settings = BTreeMap<String, Value>;

/// Failures and refusals, by their text.
pub type Errors = BTreeMap<String, u64>;

/// One run. Figures bear their unit in their name; those that end in `_per_s` are better when they are larger.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub scenario: String,
    #[serde(default)]
    pub label: String,
    /// Unix time in seconds.
    pub at: u64,
    pub machine: Value,
    pub settings: Settings,
    pub figures: BTreeMap<String, f64>,
    #[serde(default)]
    pub errors: Errors,
}

impl Report {
    pub fn of(scenario: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            scenario: scenario.to_owned(),
            at: clock::wall_ns() / 1_000_000_000,
            machine: json!({"cores": cores, "kernel": kernel.trim()}),
            ..Self::default()
        }
    }

    pub fn setting(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// To a thousandth: what lies below is noise.
    pub fn figure(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.figures.insert(name.to_owned(), (value * 1_000.0).round() / 1_000.0);
        }
    }

    pub fn count(&mut self, name: &str, count: u64) {
        self.figure(name, real(count));
    }

    /// A count as a rate a second.
    pub fn rate(&mut self, name: &str, count: u64, span: Duration) {
        self.figure(&format!("{name}_per_s"), ratio(real(count), span.as_secs_f64()));
    }

    pub fn latencies(&mut self, name: &str, latencies: &Latencies) {
        for (percentile, ms) in latencies.percentiles_ms() {
            self.figure(&format!("{name}_{percentile}_ms"), ms);
        }
    }

    /// Processor time of each group: in all, and for a thousand operations.
    pub fn usage(&mut self, usage: &Usage, operations: u64) {
        for (group, cpu) in &usage.cpu {
            self.figure(&format!("{group}_cpu_cores"), ratio(cpu.as_secs_f64(), usage.wall.as_secs_f64()));
            self.figure(&format!("{group}_cpu_ms_per_1000"), ratio(cpu.as_secs_f64() * 1e6, real(operations)));
        }
        self.figure("others_cpu_cores", ratio(usage.others.as_secs_f64(), usage.wall.as_secs_f64()));
    }

    pub fn errors(&mut self, errors: Errors) {
        for (why, count) in errors {
            *self.errors.entry(why).or_default() += count;
        }
    }

    /// Appends it, as a line of its own.
    pub fn append(&self, file: &Path) -> Result<(), Failure> {
        let mut file = OpenOptions::new().append(true).create(true).open(file)?;
        Ok(writeln!(file, "{}", serde_json::to_string(self)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_bear_their_unit() {
        let mut report = Report::of("hotpath");
        report.rate("commands", 500, Duration::from_secs(2));
        let cpu = BTreeMap::from([("server".to_owned(), Duration::from_millis(10))]);
        report.usage(&Usage { wall: Duration::from_secs(1), cpu, others: Duration::from_millis(500) }, 500);
        let found: Vec<_> = report.figures.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            found,
            ["commands_per_s=250", "others_cpu_cores=0.5", "server_cpu_cores=0.01", "server_cpu_ms_per_1000=20"]
        );
    }

    #[test]
    fn figures_that_are_not_numbers_are_left_out() {
        let mut report = Report::of("idle");
        report.rate("commands", 5, Duration::ZERO);
        report.latencies("command", &Latencies::default());
        assert!(report.figures.is_empty());
    }

    #[test]
    fn runs_stand_one_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs.jsonl");
        for scenario in ["idle", "many"] {
            Report::of(scenario).append(&file).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let read: Vec<Report> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.iter().map(|run| run.scenario.as_str()).collect::<Vec<_>>(), ["idle", "many"]);
    }
}

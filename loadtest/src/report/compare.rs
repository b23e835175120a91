//! Two files of runs side by side: the median of each figure, and their ratio.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::table::{short, title};
use super::{Report, ratio};
use crate::failure::Failure;

/// Less than this is noise on a shared machine.
const MIN_NOTABLE_CHANGE: f64 = 0.05;

/// Runs of one kind: the same scenario with the same settings.
type Kinds = BTreeMap<String, Vec<Report>>;

/// Both files, compared kind by kind.
pub fn files(a: &Path, b: &Path) -> Result<String, Failure> {
    Ok(compare(&by_kind(read(a)?), &by_kind(read(b)?)))
}

fn read(file: &Path) -> Result<Vec<Report>, Failure> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Labels do not count: they differ between the two files.
fn by_kind(reports: Vec<Report>) -> Kinds {
    let mut kinds = Kinds::new();
    for report in reports {
        kinds.entry(title(&report.scenario, "", &report.settings)).or_default().push(report);
    }
    kinds
}

fn compare(a: &Kinds, b: &Kinds) -> String {
    let mut out = String::new();
    for kind in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        // Writing to memory cannot fail.
        let _ = match (a.get(kind), b.get(kind)) {
            (Some(a), Some(b)) => writeln!(out, "{kind}\n{}", side_by_side(a, b)),
            (Some(_), None) => writeln!(out, "{kind}\n  only in the first\n"),
            _ => writeln!(out, "{kind}\n  only in the second\n"),
        };
    }
    out
}

fn side_by_side(a: &[Report], b: &[Report]) -> String {
    let heads = [format!("A ({})", a.len()), format!("B ({})", b.len())];
    let mut out = format!("  {:<40}{:>12}{:>12}{:>9}\n", "", heads[0], heads[1], "B/A");
    let names: BTreeSet<_> = a.iter().chain(b).flat_map(|report| report.figures.keys()).collect();
    for name in names {
        let (Some(a), Some(b)) = (median(a, name), median(b, name)) else { continue };
        let times = ratio(b, a);
        let told = if times.is_nan() { String::new() } else { format!("{times:.2}") };
        let verdict = verdict(name, times);
        let _ = writeln!(out, "  {name:<40}{:>12}{:>12}{told:>9}  {verdict}", short(&a), short(&b));
    }
    out
}

fn median(reports: &[Report], name: &str) -> Option<f64> {
    let mut values: Vec<_> = reports.iter().filter_map(|report| report.figures.get(name).copied()).collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Rates are better when they are larger, spans and costs when they are smaller; of the rest nothing is said.
fn verdict(name: &str, times: f64) -> &'static str {
    let larger_is_better = name.ends_with("_per_s");
    let is_cost = ["_ms", "_us", "_ms_per_1000", "_bytes"].iter().any(|unit| name.ends_with(unit));
    if times.is_nan() || (times - 1.0).abs() < MIN_NOTABLE_CHANGE || !(larger_is_better || is_cost) {
        return "";
    }
    if larger_is_better == (times > 1.0) { "better" } else { "worse" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(scenario: &str, figures: &[(&str, f64)]) -> Report {
        let figures = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Report { scenario: scenario.to_owned(), figures, ..Report::default() }
    }

    fn words(text: &str) -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn medians_are_compared() {
        let a =
            by_kind([1.0, 9.0, 2.0].map(|ms| run("many", &[("command_p50_ms", ms), ("commands_per_s", 10.0)])).into());
        let b = by_kind(vec![run("many", &[("command_p50_ms", 1.0), ("commands_per_s", 5.0), ("new", 1.0)])]);
        let expected =
            ["many", "A (3) B (1) B/A", "command_p50_ms 2 1 0.50 better", "commands_per_s 10 5 0.50 worse", ""];
        assert_eq!(words(&compare(&a, &b)), expected);
    }

    #[test]
    fn a_kind_in_one_file_alone_is_named() {
        let (a, b) = (by_kind(vec![run("idle", &[])]), by_kind(vec![run("soak", &[])]));
        assert_eq!(words(&compare(&a, &b)), ["idle", "only in the first", "", "soak", "only in the second", ""]);
    }

    #[test]
    fn what_is_better_depends_on_the_unit() {
        for (name, times, says) in [
            ("commands_per_s", 1.2, "better"),
            ("commands_per_s", 0.8, "worse"),
            ("command_p99_ms", 1.2, "worse"),
            ("server_cpu_ms_per_1000", 0.8, "better"),
            ("resident_per_connection_bytes", 0.5, "better"),
            ("server_cpu_per_connection_us", 0.5, "better"),
            ("command_p99_ms", 1.04, ""),
            ("delivered", 2.0, ""),
            ("commands_per_s", f64::NAN, ""),
        ] {
            assert_eq!(verdict(name, times), says, "{name} {times}");
        }
    }

    #[test]
    fn files_are_read_a_run_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        run("many", &[("commands_per_s", 10.0)]).append(&file).unwrap();
        assert!(files(&file, &file).unwrap().contains("commands_per_s"));
        std::fs::write(&file, "no JSON").unwrap();
        assert!(files(&file, &file).is_err());
    }
}

//! A report to read: spans in rows with their percentiles, then the other figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Report, Settings};

const COLUMNS: [&str; 6] = ["p50", "p90", "p99", "p999", "max", "mean"];

/// The lines, each ended.
pub fn of(report: &Report) -> String {
    let (spans, others) = parted(&report.figures);
    let mut out = format!("{}\n", title(&report.scenario, &report.label, &report.settings));
    if !spans.is_empty() {
        row(&mut out, "ms", COLUMNS.iter().map(ToString::to_string));
    }
    for (name, columns) in &spans {
        row(&mut out, name, COLUMNS.iter().map(|column| columns.get(column).map_or_else(String::new, short)));
    }
    for (name, value) in others {
        row(&mut out, name, [short(value)].into_iter());
    }
    for (why, count) in &report.errors {
        row(&mut out, &format!("errors: {why}"), [count.to_string()].into_iter());
    }
    out
}

/// What was run, in a line.
pub fn title(scenario: &str, label: &str, settings: &Settings) -> String {
    let settings: String = settings.iter().map(|(name, value)| format!(" {name}={value}").replace('"', "")).collect();
    let label = if label.is_empty() { String::new() } else { format!(" [{label}]") };
    format!("{scenario}{label}{settings}")
}

/// As many digits as can be told apart at a glance.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is mapped over what a map holds")]
pub fn short(value: &f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

type Spans<'a> = BTreeMap<&'a str, BTreeMap<&'a str, f64>>;

/// Percentiles by what they are of, and everything else.
fn parted(figures: &BTreeMap<String, f64>) -> (Spans<'_>, Vec<(&str, &f64)>) {
    let (mut spans, mut others) = (Spans::new(), Vec::new());
    for (name, value) in figures {
        let percentile = name.strip_suffix("_ms").and_then(|rest| rest.rsplit_once('_'));
        match percentile.filter(|(_, column)| COLUMNS.contains(column)) {
            Some((of, column)) => {
                spans.entry(of).or_default().insert(column, *value);
            }
            None => others.push((name.as_str(), value)),
        }
    }
    (spans, others)
}

fn row(out: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let cells = cells.fold(String::new(), |row, cell| format!("{row}{cell:>11}"));
    // Writing to memory cannot fail.
    let _ = writeln!(out, "  {name:<36}{cells}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentiles_stand_in_a_row() {
        let figures =
            [("command_p50_ms", 0.2), ("command_p999_ms", 12.34), ("commands_per_s", 35_000.4), ("drift_ms", 1.0)];
        let report = Report {
            scenario: "hotpath".to_owned(),
            label: "a".to_owned(),
            settings: Settings::from([("over".to_owned(), json!("http")), ("workers".to_owned(), json!(64))]),
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
            errors: [("409 contended".to_owned(), 2)].into(),
            ..Report::default()
        };
        let rows: Vec<_> =
            of(&report).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            rows,
            [
                "hotpath [a] over=http workers=64",
                "ms p50 p90 p99 p999 max mean",
                "command 0.200 12.3",
                "commands_per_s 35000",
                "drift_ms 1",
                "errors: 409 contended 2",
            ]
        );
    }
}

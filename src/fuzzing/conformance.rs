//! Conformance files: whatever one holds, it is played to its end and every fault of it is told.

use crate::conformance::Report;

/// A whole file.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut report = Report::default();
    report.run("fuzzed.json", text);
    assert!(report.passed + report.failed > 0, "a file without a result");
    assert_eq!(report.failures.is_empty(), report.failed == 0, "each failure says why");
    for failure in &report.failures {
        assert!(!failure.to_string().is_empty(), "a failure without words");
    }
}

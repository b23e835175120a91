//! Conformance vectors: the rules of the clocks as files that anyone can check
//! another implementation against.
//!
//! A vector creates a session at 0, moves time to each step's `at_ms`, and states the expected
//! result. Nothing here reads a file or prints a line.

mod compare;
mod play;
mod vector;

use std::fmt;

use serde_json::Value;

use self::vector::Vector;

/// A result that differs from its vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which file.
    pub file: String,
    /// Which vector, by its name.
    pub vector: String,
    /// Which step, counted from 1; 0 is the creation.
    pub step: usize,
    /// Which part, what was expected of it, and what came.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, vector, step, what } = self;
        match step {
            0 => write!(f, "{file}: {vector}: create: {what}"),
            _ => write!(f, "{file}: {vector}: step {step}: {what}"),
        }
    }
}

/// The result of running vectors.
#[derive(Debug, Default)]
pub struct Report {
    /// Vectors that passed.
    pub passed: usize,
    /// Vectors that failed.
    pub failed: usize,
    /// Every difference.
    pub failures: Vec<Failure>,
}

impl fmt::Display for Report {
    /// The closing count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vectors held, {} failed", self.passed, self.failed)
    }
}

impl Report {
    /// Runs every vector of a file that reads `text`.
    pub fn run(&mut self, file: &str, text: &str) {
        let vectors: Vec<Value> = match serde_json::from_str(text) {
            Ok(vectors) => vectors,
            Err(error) => return self.malformed(file, &format!("is no array of vectors: {error}")),
        };
        if vectors.is_empty() {
            return self.malformed(file, "has no vector");
        }
        for (vector, place) in vectors.into_iter().zip(1..) {
            match serde_json::from_value::<Vector>(vector) {
                Ok(vector) => self.check(file, &vector),
                Err(error) => self.malformed(file, &format!("vector {place} is malformed: {error}")),
            }
        }
    }

    fn check(&mut self, file: &str, vector: &Vector) {
        let failures = play::play(vector);
        if failures.is_empty() {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        self.failures.extend(failures.into_iter().map(|(step, difference)| Failure {
            file: file.to_owned(),
            vector: vector.name.clone(),
            step,
            what: difference.to_string(),
        }));
    }

    fn malformed(&mut self, file: &str, what: &str) {
        self.failed += 1;
        self.failures.push(Failure {
            file: file.to_owned(),
            vector: "the file".to_owned(),
            step: 0,
            what: what.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(vector: &str) -> Vec<String> {
        let mut report = Report::default();
        report.run("some.json", vector);
        report.failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_vector_of_the_folder_holds() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
        let mut report = Report::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            report.run(&name, &std::fs::read_to_string(&path).unwrap());
        }
        let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{report}\n{}", failures.join("\n"));
        assert!(report.passed >= 120, "{report}");
    }

    #[test]
    fn a_failure_says_which_step_what_was_expected_and_what_came() {
        let vector = r#"[{"name": "a minute", "source": "here",
            "create": {"sync_mode": "global", "total_time_ms": 60000},
            "steps": [{"at_ms": 0, "command": "start"},
                      {"at_ms": 1000, "expect": {"status": "paused", "remaining_ms": {"session": 1}}},
                      {"at_ms": 2000, "command": "resume"},
                      {"at_ms": 2000, "command": "pause", "expect": {"refused": "not_running", "no": 1}}]}]"#;
        assert_eq!(
            run(vector),
            [
                "some.json: a minute: step 2: remaining_ms.session: expected 1, came 59000",
                r#"some.json: a minute: step 2: status: expected "paused", came "running""#,
                r#"some.json: a minute: step 3: refused: expected nothing, came "not_paused""#,
                "some.json: a minute: step 4: no: expected 1, came nothing",
                r#"some.json: a minute: step 4: refused: expected "not_running", came nothing"#,
            ]
        );
    }

    #[test]
    fn a_malformed_vector_is_reported_and_counts_as_failed() {
        assert!(run("{}")[0].contains("is no array of vectors"));
        assert_eq!(run("[]"), ["some.json: the file: create: has no vector"]);
        assert!(run(r#"[{"name": "x"}]"#)[0].contains("vector 1 is malformed"));
        let unsourced = r#"[{"name": "x", "source": "", "create": {}, "create_refused": "invalid"}]"#;
        assert_eq!(run(unsourced), [r#"some.json: x: create: source: expected words, came """#]);
        let stepless = r#"[{"name": "x", "source": "y", "create": {"sync_mode": "count_up"}}]"#;
        assert_eq!(run(stepless), ["some.json: x: create: steps: expected at least one, came nothing"]);
    }
}

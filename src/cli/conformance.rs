//! `conformance`: runs clock vectors, for authors of other clients.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Failure;
use crate::conformance::Report;

pub(super) fn command() -> Command {
    let files = Arg::new("files").value_name("FILE").required(true).action(ArgAction::Append);
    Command::new("conformance")
        .about("Runs clock vectors against the rules of this release; exit 1 if one does not hold")
        .arg(files.value_parser(value_parser!(PathBuf)).help("JSON files of vectors"))
}

pub(super) fn files(matches: &ArgMatches) -> Vec<PathBuf> {
    matches.get_many::<PathBuf>("files").map(|files| files.cloned().collect()).unwrap_or_default()
}

/// One line a failure, and a closing count.
pub(super) fn run(files: &[PathBuf]) -> Result<(), Failure> {
    let mut report = Report::default();
    for file in files {
        let read = |source| Failure::Vectors { file: file.clone(), source };
        report.run(&file.display().to_string(), &fs::read_to_string(file).map_err(read)?);
    }
    let mut out = stdout().lock();
    for failure in &report.failures {
        writeln!(out, "{failure}")?;
    }
    writeln!(out, "{report}")?;
    if report.failures.is_empty() { Ok(()) } else { Err(Failure::VectorsFailed(report.failed)) }
}

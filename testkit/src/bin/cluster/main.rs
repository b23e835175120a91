//! `scripts/cluster`: a whole cluster on this machine, on loopback: Redis, PostgreSQL, instances, and nginx in front.
//!
//! It installs nothing, and ends only what it started, by process id.
#![expect(clippy::print_stdout, reason = "what a command prints is its result")]

mod cluster;
mod commands;
mod failure;
mod interrupts;
mod layout;
mod options;
mod processes;
mod programs;
mod report;
mod services;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
usage: scripts/cluster up N [option...]   starts N instances and what they need, and waits until all are ready
       scripts/cluster status             says what runs; exit 1 if something does not
       scripts/cluster start NAME         starts one process again that has ended, by its name in status
       scripts/cluster down               stops everything, instances first, and removes their data

  --state DIR          where ids, logs and settings are kept [target/cluster]
  --port BASE          nginx on this port, the others on the hundred behind it [free ones]
  --release            the program as it is built for release
  --redis-cluster      three masters instead of one Redis
  --aof                Redis writes to disk, and waits for the disk once a second
  --worker             the audit is drained by one `synckairos worker`, not by the instances
  --faketime OFFSETS   how wrong the instances' own clocks are, such as -5m,0,+5m
  --set NAME=VALUE     a setting of every instance, such as DURABLE=always; may be given more than once

The program is what SYNCKAIROS_PROGRAM names; without it, it is built. After `up`, `source DIR/env` gives SYNCKAIROS_URL
(nginx), SYNCKAIROS_URLS (the instances), SYNCKAIROS_TOKEN (an operator's), SYNCKAIROS_PIDS, SYNCKAIROS_REDIS_PID,
SYNCKAIROS_WORKER_PID, SYNCKAIROS_POSTGRES_PID, SYNCKAIROS_REDIS_URL, SYNCKAIROS_DATABASE_URL and
SYNCKAIROS_METRICS_URLS; in lists with spaces in between. After `start` it wants to be sourced again.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("scripts/cluster: {failure}");
            failure.exit_code()
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode, Failure> {
    match words {
        ["up", options @ ..] => commands::up(options),
        ["status", options @ ..] => commands::status(options),
        ["start"] => Err(Failure::from("start wants the name of a process")),
        ["start", name, options @ ..] => commands::start(name, options),
        ["down", options @ ..] => commands::down(options),
        [] | ["help" | "-h" | "--help", ..] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

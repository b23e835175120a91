//! Puts a deployment under load and says how fast it is.
//!
//! From the top: `args` is the command line, and `scenario` has the runs. A scenario sends `commands` while an
//! `audience` of subscribers watches, a `crowd` in each process. `net` has the protocols, `host` measures the
//! processes, and `report` shows the result.

mod args;
mod audience;
mod clock;
mod cluster_time;
mod commands;
mod crowd;
mod failure;
mod host;
mod net;
mod position;
mod progress;
mod report;
mod run;
mod scenario;
mod schedule;
mod session;
mod target;
mod ticker;
mod token;
mod websocket;

use std::io::{Write as _, stderr};
use std::process::ExitCode;

use clap::Parser as _;

use args::Cli;

fn main() -> ExitCode {
    match run::command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nowhere else to say it.
            let _ = writeln!(stderr(), "loadtest: {failure}");
            ExitCode::FAILURE
        }
    }
}

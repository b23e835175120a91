//! Puts a deployment under load and says how fast it is.
//!
//! From the top: `args` says what can be asked, `scenario` what is run; a scenario has `commands` sent and an
//! `audience` of subscribers watch, each a `crowd` in one process; `net` is how both speak, `host` what the machine
//! says of it, and `report` what is told in the end.

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

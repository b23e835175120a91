//! Reads the environment, starts telemetry, then runs one command.

use std::env::{self, VarError};
use std::process::ExitCode;
use std::time::Duration;

use synckairos::cli::{Call, Failure};
use synckairos::config::{Pairs, SETTINGS};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long work that cannot be dropped (a write to a file) may hold up the exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    let call = Call::read(env::args_os(), &environment()?)?;
    call.start_telemetry()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(call.run());
    runtime.shutdown_timeout(EXIT_TIMEOUT);
    outcome
}

/// The settings in the environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Result<Pairs, Failure> {
    let mut pairs = Pairs::new();
    for setting in SETTINGS {
        match env::var(setting.name) {
            Ok(value) => pairs.push((setting.name.to_owned(), value)),
            Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => return Err(Failure::NotUnicode(setting.name)),
        }
    }
    Ok(pairs)
}

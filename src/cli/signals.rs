//! The effect of each signal on a process that serves or drains.
//!
//! No signal that can be caught ends it out of order: what is acknowledged reaches the
//! ledger first. The signals of a fault (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS)
//! are a crash, whoever sends them: the code that raised one cannot go on.

use std::future::pending;
use std::io;

use futures::future::select_all;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::shutdown::Shutdown;

/// Requests to stop: the first begins the stop, the second ends it at once.
///
/// SIGQUIT is a key of the terminal, SIGABRT a watchdog's, SIGPWR a container's, and SIGXCPU
/// comes before a SIGKILL. None of them leaves a core: that would be a stop out of order.
const STOPS: &[Number] = &[Number::TERM, Number::INT, Number::QUIT, Number::ABORT, Number::POWER, Number::XCPU];

/// The terminal is gone. That begins a stop too, but is never the second signal: a shell, the
/// kernel and systemd each send one for the same end of a session, beside a SIGTERM. A process
/// started with `nohup` ignores it.
const HANGUP: Number = Number::HUP;

/// Signals without a meaning here, which would end the process. Log rotation needs none: the
/// log goes to standard error.
const IGNORED: &[Number] = &[
    Number::USR1,
    Number::USR2,
    Number::ALARM,
    Number::VTALARM,
    Number::PROF,
    Number::IO,
    Number::STKFLT,
    Number::XFSZ,
    Number::PIPE,
];

/// The real-time signals that a C library leaves to programs; they have no meaning here.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// From now on, the first signal begins a soft stop, the second a hard one.
pub(super) fn stop_on_signals(shutdown: &Shutdown) -> io::Result<()> {
    let ignored = IGNORED.iter().map(|number| number.as_raw()).chain(REAL_TIME);
    // A signal that was caught once stays caught, even without a receiver.
    ignored.map(catch).try_for_each(|signal| signal.map(drop))?;
    let stops = STOPS.iter().map(|number| catch(number.as_raw())).collect::<io::Result<_>>()?;
    let hangup = if is_ignored(HANGUP) { None } else { Some(catch(HANGUP.as_raw())?) };
    tokio::spawn(follow(Signals { stops, hangup }, shutdown.clone()));
    Ok(())
}

/// Whether the parent process made us ignore that signal.
fn is_ignored(number: Number) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_in_mask(&status, number)
}

fn is_in_mask(status: &str, number: Number) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (number.as_raw() - 1)) != 0
}

fn catch(number: i32) -> io::Result<Signal> {
    signal(SignalKind::from_raw(number))
}

struct Signals {
    stops: Vec<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    async fn stop(&mut self) {
        any(&mut self.stops).await;
    }

    /// Returns whether it was a request to stop.
    async fn stop_or_hangup(&mut self) -> bool {
        let Self { stops, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = any(stops) => true,
            _ = hung_up => false,
        }
    }
}

async fn any(signals: &mut [Signal]) {
    select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}

async fn follow(mut signals: Signals, shutdown: Shutdown) {
    let is_request = signals.stop_or_hangup().await;
    let why = if is_request { "a signal" } else { "the terminal is gone" };
    tracing::info!(why, "stopping; a second signal stops at once");
    shutdown.announce();
    if !is_request {
        signals.stop().await;
    }
    signals.stop().await;
    shutdown.abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_mask_of_the_kernel_is_read() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_in_mask(status, Number::HUP) && is_in_mask(status, Number::PIPE));
        assert!(!is_in_mask(status, Number::INT) && !is_in_mask("", Number::HUP));
    }
}

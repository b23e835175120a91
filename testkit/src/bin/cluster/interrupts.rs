//! Signals that end a command early. It notices them between its steps, and stops what it started.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The exit code that the signal asks for; zero while none came.
static EXIT_CODE: AtomicU8 = AtomicU8::new(0);

/// Notes signals from now on instead of ending at once.
pub fn catch() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [interrupt, terminate, hangup] = signals.map(signal);
    let (interrupt, terminate, hangup) = (interrupt?, terminate?, hangup?);
    drop(guard);
    std::thread::spawn(move || runtime.block_on(note(interrupt, terminate, hangup)));
    Ok(())
}

async fn note(mut interrupt: Signal, mut terminate: Signal, mut hangup: Signal) {
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 143,
        };
        EXIT_CODE.store(code, Ordering::Relaxed);
    }
}

/// Fails once a signal came.
pub fn check() -> Result<(), Failure> {
    match EXIT_CODE.load(Ordering::Relaxed) {
        0 => Ok(()),
        code => Err(Failure::Interrupted(code)),
    }
}

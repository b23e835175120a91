//! Sleeps to the microsecond.
//!
//! Tokio's own timer counts in milliseconds and rounds up, which would be the larger half of what an open loop
//! measures.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// A timer of the kernel's.
pub struct Ticker {
    timer: TimerFd,
    /// The same timer, as the runtime waits for it.
    fired: AsyncFd<OwnedFd>,
}

impl Ticker {
    #[expect(deprecated, reason = "what replaces it is unsafe; this descriptor is owned, and nobody else has it")]
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let fired = AsyncFd::new(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, fired })
    }

    /// Waits until then; not at all if that has been.
    pub async fn until(&self, due: Instant) -> io::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.fired.readable().await?;
            // It does not block: nothing is read of a timer that was woken too early.
            match self.timer.wait() {
                Ok(()) => return Ok(()),
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn it_is_never_early() {
        let ticker = Ticker::new().unwrap();
        for span in [0, 300, 2_000] {
            let due = Instant::now() + Duration::from_micros(span);
            ticker.until(due).await.unwrap();
            assert!(Instant::now() >= due, "{span}");
        }
    }
}

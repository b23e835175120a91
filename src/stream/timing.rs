//! The streams' own few timers.

use std::time::Duration;

/// How long each thing takes, and how often it happens.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Between two `HEARTBEAT`s, where the caller asks for nothing else.
    pub heartbeat: Duration,
    /// Between two pings at protocol level.
    pub ping: Duration,
    /// How long a pong may take.
    pub pong_wait: Duration,
    /// How long a write may take before its reader is too slow.
    pub write_wait: Duration,
    /// How long the first state may take before the store counts as unavailable.
    pub state_wait: Duration,
    /// How long the last words may take to be heard.
    pub goodbye: Duration,
    /// Over how long streams are closed when the instance goes away.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            ping: Duration::from_secs(25),
            pong_wait: Duration::from_secs(10),
            write_wait: Duration::from_secs(10),
            state_wait: Duration::from_secs(5),
            goodbye: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

//! The spans of our own timers.

use std::time::Duration;

/// The intervals and timeouts of our timers. Tests make them short instead of pausing the runtime.
#[derive(Debug, Clone)]
pub struct Timers {
    /// Between two `HEARTBEAT`s, where the caller asks for nothing else.
    pub heartbeat: Duration,
    /// Between two pings at protocol level.
    pub ping: Duration,
    /// How long a pong may take before the connection is closed.
    pub pong_wait: Duration,
    /// Between two reads of the due set.
    pub deadline_poll: Duration,
    /// Between two reads of the dead letters.
    pub dead_letter_poll: Duration,
    /// Between two checks of watched sessions against the store.
    pub position_check: Duration,
    /// How long a lease lasts without renewal.
    pub lease: Duration,
    /// Between two renewals of the lease.
    pub renew: Duration,
    /// How long the head of a request may take, and HTTP/2's preface with the first request.
    pub request_head: Duration,
    /// How long the whole body of a request may take.
    pub request_body: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// How long a write to a client may make no progress.
    pub write_wait: Duration,
    /// Between two looks at files of keys.
    pub key_file_check: Duration,
    /// Between two fetches of the issuer's keys.
    pub jwks_refresh: Duration,
    /// Between two such fetches that tokens with unknown keys cause, and before a failed one is tried again.
    pub jwks_min_interval: Duration,
    /// How long a caller with an unknown key waits for one.
    pub jwks_wait: Duration,
    /// How long a fetch may take.
    pub jwks_timeout: Duration,
    /// How long the last good answer holds.
    pub jwks_keep: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            ping: Duration::from_secs(25),
            pong_wait: Duration::from_secs(10),
            deadline_poll: Duration::from_millis(250),
            dead_letter_poll: Duration::from_secs(10),
            position_check: Duration::from_secs(5),
            lease: Duration::from_secs(3),
            renew: Duration::from_secs(1),
            request_head: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            write_wait: Duration::from_secs(10),
            key_file_check: Duration::from_secs(10),
            jwks_refresh: Duration::from_mins(10),
            jwks_min_interval: Duration::from_secs(10),
            jwks_wait: Duration::from_secs(1),
            jwks_timeout: Duration::from_secs(5),
            jwks_keep: Duration::from_hours(24),
        }
    }
}

//! Limits that hold over all instances: the quota of a subject's streams.

mod stream_quota;

#[cfg(test)]
mod tests;

pub use self::stream_quota::{QuotaExceeded, StreamPermit, StreamQuota};

//! Pages: what a question for many rows is answered with.

use bytes::Bytes;

use crate::domain::chain::Link;

/// A page ends with the row that takes it past so many bytes, whatever its limit says.
pub const PAGE_BYTES: u32 = 1024 * 1024;

/// What a change takes in an answer besides its own text.
pub(super) const CHANGE_OVERHEAD: i64 = 512;

/// Rows in their order, at most as many as were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// At least one, if there is any.
    pub rows: Vec<T>,
    /// There are more after the last.
    pub has_more: bool,
}

/// One change of a session, without the session it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Position, instant, and the binding to the change before.
    pub link: Link,
    /// What happened, as JSON.
    pub change: Bytes,
    /// Not on the line that leads to the newest version: a later epoch, or the
    /// other side of a fork, went on from before it.
    pub superseded: bool,
}

impl<T> Page<T> {
    /// The first `limit` of `rows`, of which there may be one more.
    #[must_use]
    pub fn of(mut rows: Vec<T>, limit: u32) -> Self {
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Self { rows, has_more }
    }
}

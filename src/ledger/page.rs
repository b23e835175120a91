//! Pages of rows.

use bytes::Bytes;

use crate::domain::chain::Link;

/// A page ends with the row that exceeds this size, whatever its row limit.
pub const PAGE_BYTES: u32 = 1024 * 1024;

/// Bytes of a change in a response besides its own text.
pub(super) const CHANGE_OVERHEAD: i64 = 512;

/// Rows in order, at most as many as the caller's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Empty only if no rows are left.
    pub rows: Vec<T>,
    /// Whether more rows come after the last.
    pub has_more: bool,
}

/// One change of a session, without the session it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Position, instant, and the digest of the link before.
    pub link: Link,
    /// What happened, as JSON.
    pub change: Bytes,
    /// Not part of the lineage of the newest version: a later epoch, or the other side of a
    /// fork, went on from before it.
    pub superseded: bool,
}

impl<T> Page<T> {
    /// The first `limit` of `rows`, which hold one more if there are more.
    pub fn of(mut rows: Vec<T>, limit: u32) -> Self {
        let has_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Self { rows, has_more }
    }
}

//! What a request asks of the stream it opens.

use std::time::Duration;

use crate::domain::position::Position;

/// What the query says.
#[derive(Debug)]
pub struct StreamParams {
    /// Where the caller has got to. What is no position is none: the newest state follows.
    pub last: Option<Position>,
    /// Every cursor it names, the one that counts first: for one session, or for several.
    pub cursors: Vec<String>,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Whether `TIME_WARNING` is wanted.
    pub warnings: bool,
}

impl StreamParams {
    /// Whether it names a cursor, be that of use or not.
    pub fn has_cursor(&self) -> bool {
        !self.cursors.is_empty()
    }
}

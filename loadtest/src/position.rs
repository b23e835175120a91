//! Where a session stands: `<epoch>-<version>`, as every transport says it.

use std::fmt;

use memchr::memmem;
use serde::{Deserialize, Serialize};

const KEY: &[u8] = b"\"position\":\"";

/// Epoch first: a later life is newer whatever its version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub epoch: u64,
    pub version: u64,
}

/// A state that a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub position: Position,
    /// A `STATE_SYNC`: it may stand in for several changes, or for none.
    pub is_sync: bool,
}

impl Position {
    /// Reads the position at the start of `text`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (epoch, rest) = number(text)?;
        let (version, _) = number(rest.strip_prefix(b"-")?)?;
        Some(Self { epoch, version })
    }

    /// The one that a command's answer ends on.
    pub fn of_answer(body: &[u8]) -> Option<Self> {
        Self::read(&body[memmem::rfind(body, KEY)? + KEY.len()..])
    }

    /// Those of a poll's frames, oldest first. What stands before all is the newest, and so comes last.
    pub fn of_poll(body: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let all = || memmem::find_iter(body, KEY).filter_map(|at| Self::read(&body[at + KEY.len()..]));
        all().skip(1).chain(all().take(1))
    }
}

impl State {
    /// Reads a frame far enough to know. Frames of other kinds carry no state, though some carry a position.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let kind = frame.trim_ascii_start().strip_prefix(b"{\"type\":\"STATE_")?;
        let at = memmem::find(kind, KEY)? + KEY.len();
        Some(Self { position: Position::read(&kind[at..])?, is_sync: kind.starts_with(b"SYNC") })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.version)
    }
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, version: u64) -> Position {
        Position { epoch, version }
    }

    #[test]
    fn a_frame_is_read_as_far_as_its_position() {
        let update = br#"{"type":"STATE_UPDATE","session_id":"s","position":"17-8","payload":{"version":8}}"#;
        assert_eq!(State::read(update), Some(State { position: at(17, 8), is_sync: false }));
        let sync = br#" {"type":"STATE_SYNC","session_id":"s","position":"17-9","payload":{}}"#;
        assert_eq!(State::read(sync), Some(State { position: at(17, 9), is_sync: true }));
        for other in [&b"{\"type\":\"HEARTBEAT\",\"position\":\"17-8\"}"[..], b"{\"type\":\"STATE_SYNC\"}", b""] {
            assert_eq!(State::read(other), None);
        }
    }

    #[test]
    fn a_poll_names_its_newest_first_and_is_told_oldest_first() {
        let body = br#"{"position":"5-9","events":[{"position":"5-8"},{"position":"5-9"}],"session":{}}"#;
        assert_eq!(Position::of_poll(body).collect::<Vec<_>>(), [at(5, 8), at(5, 9), at(5, 9)]);
        assert_eq!(Position::of_answer(body), Some(at(5, 9)));
    }

    #[test]
    fn what_is_no_position_is_none() {
        for text in ["", "5", "5-", "-5", "a-b", "99999999999999999999-1"] {
            assert_eq!(Position::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Position::read(b"5-7\"rest").map(|position| position.to_string()).as_deref(), Some("5-7"));
        assert!(at(6, 1) > at(5, 9));
    }
}

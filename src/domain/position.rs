//! Where a session is in its history: one cursor for every transport.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `(epoch, version)`; larger is newer, the epoch is compared first.
/// The default stands before every other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Identifies one life of the session in the store.
    pub epoch: i64,
    /// Counts writes over the whole life of the id, from 1.
    pub version: u64,
}

/// Why a text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is written <epoch>-<version>")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.version)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let (epoch, version) = text.split_once('-').ok_or(InvalidPosition)?;
        if !digits(epoch) || !digits(version) {
            return Err(InvalidPosition);
        }
        Ok(Self {
            epoch: epoch.parse().map_err(|_| InvalidPosition)?,
            version: version.parse().map_err(|_| InvalidPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text_and_orders_by_epoch_first() {
        let at = |epoch, version| Position { epoch, version };
        assert_eq!("17-3".parse(), Ok(at(17, 3)));
        assert_eq!(at(17, 3).to_string(), "17-3");
        assert!(at(2, 1) > at(1, 9) && at(1, 9) > at(1, 8));
        for bad in ["", "1", "-1-2", "1-", "+1-2", "1-2-3", "1-x", "99999999999999999999-1"] {
            assert_eq!(bad.parse::<Position>(), Err(InvalidPosition), "{bad}");
        }
    }
}

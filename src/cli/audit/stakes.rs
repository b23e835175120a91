//! The consequences of dropping dead letters, by session.

use std::collections::BTreeMap;

use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::ledger;
use crate::ledger::{DeadLetter, Ledger};

/// The dead letters of each session.
#[derive(Debug, Default)]
pub(super) struct Stakes(BTreeMap<SessionKey, Stake>);

#[derive(Debug)]
struct Stake {
    letters: usize,
    oldest: Position,
    newest: Position,
}

impl Stakes {
    pub fn add(&mut self, letter: &DeadLetter) {
        let at = letter.entry.link.position;
        let stake = self.0.entry(letter.entry.key.clone()).or_insert(Stake { letters: 0, oldest: at, newest: at });
        stake.letters += 1;
        stake.oldest = stake.oldest.min(at);
        stake.newest = stake.newest.max(at);
    }

    /// One line a session; a script that wants letters alone skips lines that begin with `#`.
    pub async fn lines(&self, ledger: &dyn Ledger) -> Result<Vec<String>, ledger::Error> {
        let mut lines = Vec::new();
        for (key, stake) in &self.0 {
            let recorded = ledger.newest(key).await?.map(|row| row.link.position);
            lines.push(format!("# {key}: {}", stake.describe(recorded)));
        }
        if !lines.is_empty() {
            let hint =
                "# `synckairos audit dead retry` offers them to the ledger again; `drop` gives them up for good.";
            lines.push(hint.to_owned());
        }
        Ok(lines)
    }
}

impl Stake {
    fn describe(&self, recorded: Option<Position>) -> String {
        let Self { letters, oldest, newest } = self;
        let versions = if oldest == newest { format!("version {newest}") } else { format!("{oldest} to {newest}") };
        let consequence = match recorded {
            _ if recorded >= Some(*newest) => "its history lacks them, and its state is in the ledger".to_owned(),
            Some(recorded) => format!("without them the session would come back as {recorded}"),
            None => "without them the ledger has nothing of the session".to_owned(),
        };
        format!("{letters} refused, {versions}; {consequence}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consequence_of_a_drop_is_described() {
        let at = |version| Position { epoch: 7, version };
        let stake = Stake { letters: 3, oldest: at(3), newest: at(5) };
        for (recorded, line) in [
            (None, "3 refused, 7-3 to 7-5; without them the ledger has nothing of the session."),
            (Some(at(2)), "3 refused, 7-3 to 7-5; without them the session would come back as 7-2."),
            (Some(at(6)), "3 refused, 7-3 to 7-5; its history lacks them, and its state is in the ledger."),
        ] {
            assert_eq!(stake.describe(recorded), line);
        }
        let one = Stake { letters: 1, oldest: at(3), newest: at(3) };
        assert!(one.describe(None).starts_with("1 refused, version 7-3; "));
    }
}

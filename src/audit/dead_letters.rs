//! Dead letters: listed, retried, or dropped.

use std::sync::Arc;

use crate::domain::chain::{Digest, Link};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::ledger::{DeadLetter, Error, Ledger};

/// Dead letters read at a time: each may hold a whole session.
const PAGE_SIZE: u32 = 100;

/// Which dead letters a command selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those with these digests.
    Of(Vec<Digest>),
}

/// The result of a retry.
#[derive(Debug)]
pub enum RetryOutcome {
    /// The ledger has recorded it.
    Recorded,
    /// Recorded, beside another version at its position.
    Forked,
    /// Recorded, but the session went on without it: no later version links to it.
    Superseded,
    /// Refused again; it stays a dead letter.
    Refused(Error),
}

impl Selection {
    fn matches(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Of(digests) => digests.contains(&letter.entry.link.digest()),
        }
    }
}

/// Calls `act` for each selected dead letter; returns their number.
pub async fn each(
    ledger: &dyn Ledger,
    selection: &Selection,
    mut act: impl AsyncFnMut(&DeadLetter) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = ledger.dead_letters(after.as_ref(), PAGE_SIZE).await?;
        for letter in page.iter().filter(|letter| selection.matches(letter)) {
            act(letter).await?;
            count += 1;
        }
        after = page.into_iter().next_back();
        if after.is_none() {
            return Ok(count);
        }
    }
}

/// Records a dead letter, and then deletes it. A crash in between is harmless, as recording is
/// idempotent.
pub async fn retry(ledger: &dyn Ledger, letter: &DeadLetter) -> Result<RetryOutcome, Error> {
    let recorded = match ledger.record(&[Arc::new(letter.entry.clone())]).await {
        Ok(recorded) => recorded,
        Err(refusal @ Error::Refused(_)) => return Ok(RetryOutcome::Refused(refusal)),
        Err(error) => return Err(error),
    };
    ledger.remove_dead_letter(&letter.entry).await?;
    Ok(if !recorded.forks.is_empty() {
        RetryOutcome::Forked
    } else if is_superseded(ledger, &letter.entry.key, &letter.entry.link).await? {
        RetryOutcome::Superseded
    } else {
        RetryOutcome::Recorded
    })
}

/// Whether the ledger has that version, but the session went on without it. Then its number was
/// used twice.
pub async fn is_superseded(ledger: &dyn Ledger, key: &SessionKey, link: &Link) -> Result<bool, Error> {
    let Position { epoch, version } = link.position;
    let before = Position { epoch, version: version.saturating_sub(1) };
    let page = ledger.history(key, Some(before), 1).await?;
    Ok(page.rows.iter().any(|row| row.link == *link && row.superseded))
}

/// Deletes a dead letter, and its version with it.
pub async fn drop(ledger: &dyn Ledger, letter: &DeadLetter) -> Result<(), Error> {
    ledger.remove_dead_letter(&letter.entry).await.map(|_| ())
}

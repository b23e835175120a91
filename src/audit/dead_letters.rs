//! What the ledger refused for good: looked at, tried again, or let go.

use std::sync::Arc;

use crate::domain::chain::{Digest, Link};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::ledger::{DeadLetter, Error, Ledger};

/// Dead letters read at a time: each may hold a whole session.
const PAGE_SIZE: u32 = 100;

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// Those of these digests.
    Of(Vec<Digest>),
}

/// What came of trying one again.
#[derive(Debug)]
pub enum Retried {
    /// The ledger has it now.
    Recorded,
    /// The same, and it met another at its position: both are kept.
    Forked,
    /// The same, but the session went on without it: later versions do not rest on it.
    Superseded,
    /// It is refused as before, and stays where it is.
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

/// Does something with each that is meant; gives how many there were.
pub async fn each(
    ledger: &dyn Ledger,
    which: &Selection,
    mut act: impl AsyncFnMut(&DeadLetter) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut after, mut met) = (None, 0);
    loop {
        let page = ledger.dead_letters(after.as_ref(), PAGE_SIZE).await?;
        for letter in page.iter().filter(|letter| which.matches(letter)) {
            act(letter).await?;
            met += 1;
        }
        after = page.into_iter().next_back();
        if after.is_none() {
            return Ok(met);
        }
    }
}

/// Records it once more, and forgets that it was dead if that goes well. Ending in
/// between does no harm: recording may be repeated.
pub async fn retry(ledger: &dyn Ledger, letter: &DeadLetter) -> Result<Retried, Error> {
    let recorded = match ledger.record(&[Arc::new(letter.entry.clone())]).await {
        Ok(recorded) => recorded,
        Err(refusal @ Error::Refused(_)) => return Ok(Retried::Refused(refusal)),
        Err(error) => return Err(error),
    };
    ledger.remove_dead_letter(&letter.entry).await?;
    Ok(if !recorded.forks.is_empty() {
        Retried::Forked
    } else if is_superseded(ledger, &letter.entry.key, &letter.entry.link).await? {
        Retried::Superseded
    } else {
        Retried::Recorded
    })
}

/// Whether the ledger holds that version, and the session went on without it: then the
/// number of that version was given twice.
pub async fn is_superseded(ledger: &dyn Ledger, key: &SessionKey, link: &Link) -> Result<bool, Error> {
    let Position { epoch, version } = link.position;
    let before = Position { epoch, version: version.saturating_sub(1) };
    let page = ledger.history(key, Some(before), 1).await?;
    Ok(page.rows.iter().any(|row| row.link == *link && row.superseded))
}

/// Forgets it: what it held is gone.
pub async fn drop(ledger: &dyn Ledger, letter: &DeadLetter) -> Result<(), Error> {
    ledger.remove_dead_letter(&letter.entry).await.map(|_| ())
}

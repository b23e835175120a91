//! The algorithm over rows in memory.

use std::ops::RangeInclusive;

use super::*;
use crate::domain::id::{SessionId, TenantId};

/// Epoch, version and link of each row, in the order of arrival.
#[derive(Default)]
struct Rows(Vec<(i64, i64, ForkedLink)>);

impl Rows {
    /// Adds linked versions that became the newest at ten times their number; gives the last digest.
    fn chain(&mut self, epoch: i64, versions: RangeInclusive<i64>, previous: Digest, side: &str) -> Digest {
        versions.fold(previous, |previous, version| {
            let digest = Digest::of(format!("{epoch}-{version} {side}").as_bytes());
            self.0.push((epoch, version, ForkedLink { previous, digest, at: Timestamp::from_ms(10 * version) }));
            digest
        })
    }

    fn of_epoch(&self, epoch: i64) -> impl Iterator<Item = &(i64, i64, ForkedLink)> {
        self.0.iter().filter(move |row| row.0 == epoch)
    }

    async fn version(&mut self, version: i64) -> Option<LinkId> {
        Lineage::of(self, &key()).version(version).await.unwrap()
    }

    async fn epochs(&mut self, versions: RangeInclusive<i64>) -> Vec<Option<i64>> {
        let mut epochs = Vec::new();
        for version in versions {
            epochs.push(self.version(version).await.map(|link| link.epoch));
        }
        epochs
    }
}

#[async_trait]
impl LineageQueries for Rows {
    async fn newest_epoch(&mut self, _: &SessionKey) -> Result<Option<i64>, Error> {
        Ok(self.0.iter().map(|row| row.0).max())
    }

    async fn newest_digest(&mut self, _: &SessionKey, epoch: i64) -> Result<Option<Digest>, Error> {
        let newest = self.of_epoch(epoch).map(|row| row.1).max();
        Ok(self.of_epoch(epoch).find(|row| Some(row.1) == newest).map(|row| row.2.digest))
    }

    async fn first_version(&mut self, _: &SessionKey, epoch: i64) -> Result<i64, Error> {
        Ok(self.of_epoch(epoch).map(|row| row.1).min().unwrap())
    }

    async fn parent_epoch(&mut self, _: &SessionKey, child: LinkId) -> Result<Option<i64>, Error> {
        let older = || self.0.iter().filter(|row| row.0 < child.epoch);
        let named = older().filter(|row| (row.1, row.2.digest) == (child.version, child.digest));
        Ok(named.map(|row| row.0).max().or(older().map(|row| row.0).max()))
    }

    async fn last_version(&mut self, _: &SessionKey, epoch: i64, to: i64) -> Result<Option<i64>, Error> {
        Ok(self.of_epoch(epoch).map(|row| row.1).filter(|version| *version <= to).max())
    }

    async fn first_between(
        &mut self,
        _: &SessionKey,
        epoch: i64,
        from: i64,
        to: i64,
    ) -> Result<Option<(i64, Timestamp)>, Error> {
        let within = self.of_epoch(epoch).filter(|row| (from..=to).contains(&row.1));
        Ok(within.map(|row| (row.1, row.2.at)).min())
    }

    async fn links_at(&mut self, _: &SessionKey, epoch: i64, version: i64) -> Result<Vec<ForkedLink>, Error> {
        Ok(self.of_epoch(epoch).filter(|row| row.1 == version).map(|row| row.2).collect())
    }
}

fn key() -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a").unwrap() }
}

#[tokio::test]
async fn an_empty_session_has_no_lineage() {
    assert_eq!(Rows::default().version(1).await, None);
    assert!(Lineage::of(&mut Rows::default(), &key()).segments().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_restored_epoch_supersedes_later_versions_and_abandoned_epochs() {
    let mut rows = Rows::default();
    let restored_from = rows.chain(1, 1..=4, Digest::NONE, "");
    rows.chain(1, 5..=7, restored_from, "");
    rows.chain(2, 3..=9, rows.0[1].2.digest, "");
    rows.chain(5, 5..=6, restored_from, "");
    assert_eq!(rows.epochs(0..=7).await, [None, Some(1), Some(1), Some(1), Some(1), Some(5), Some(5), None]);
}

#[tokio::test]
async fn a_missing_link_leads_to_the_epoch_before() {
    let mut rows = Rows::default();
    rows.chain(1, 1..=3, Digest::NONE, "");
    rows.chain(2, 5..=6, Digest::of(b"missing"), "");
    assert_eq!(rows.epochs(3..=6).await, [Some(1), None, Some(2), Some(2)]);
}

#[tokio::test]
async fn a_fork_survives_on_the_side_that_went_on() {
    let mut rows = Rows::default();
    let first = rows.chain(1, 1..=1, Digest::NONE, "");
    rows.chain(1, 2..=3, first, "one");
    rows.chain(1, 2..=4, first, "other");
    let key = key();
    let mut lineage = Lineage::of(&mut rows, &key);
    let segments = lineage.segments().await.unwrap();
    for (side, survives) in [("one", false), ("other", true)] {
        for version in 2..=3 {
            let digest = Digest::of(format!("1-{version} {side}").as_bytes());
            let row = LinkId { epoch: 1, version, digest };
            assert_eq!(lineage.contains(&segments, row, true).await.unwrap(), survives, "{version} {side}");
        }
    }
}

#[tokio::test]
async fn an_instant_finds_the_newest_version_that_is_not_after_it() {
    let mut rows = Rows::default();
    let restored_from = rows.chain(1, 1..=4, Digest::NONE, "");
    rows.chain(1, 5..=7, restored_from, "");
    rows.chain(2, 5..=5, restored_from, "");
    rows.0.last_mut().unwrap().2.at = Timestamp::from_ms(100);
    // One version was refused.
    rows.0.retain(|row| (row.0, row.1) != (1, 3));
    for (at, found) in [(9, None), (10, Some((1, 1))), (39, Some((1, 2))), (99, Some((1, 4))), (100, Some((2, 5)))] {
        let link = Lineage::of(&mut rows, &key()).at(Timestamp::from_ms(at)).await.unwrap();
        assert_eq!(link.map(|link| (link.epoch, link.version)), found, "{at}");
    }
}

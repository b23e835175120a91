//! The lineage of a session: from its newest version back to its first, through the epochs.
//!
//! The first link of an epoch names the link it was restored from. Rows of that older epoch
//! after it are superseded.

#[cfg(test)]
mod tests;

use async_trait::async_trait;

use super::Error;
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;

/// The part of a lineage that one epoch contributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub epoch: i64,
    from: i64,
    /// The last version of it, as far as is known.
    to: i64,
    begun_at: Timestamp,
    /// Digest of that last version.
    last: Option<Digest>,
    previous: Digest,
}

impl Segment {
    fn contains(&self, epoch: i64, version: i64) -> bool {
        self.epoch == epoch && (self.from..=self.to).contains(&version)
    }
}

/// One of the links at a position; there are several only where the session has forked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForkedLink {
    pub previous: Digest,
    pub digest: Digest,
    pub at: Timestamp,
}

/// Identifies one row of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkId {
    pub epoch: i64,
    pub version: i64,
    pub digest: Digest,
}

/// The queries a backend answers, all of them at one instant.
#[async_trait]
pub(super) trait LineageQueries: Send {
    async fn newest_epoch(&mut self, key: &SessionKey) -> Result<Option<i64>, Error>;

    /// The digest of the newest version, if that is of `epoch`.
    async fn newest_digest(&mut self, key: &SessionKey, epoch: i64) -> Result<Option<Digest>, Error>;

    async fn first_version(&mut self, key: &SessionKey, epoch: i64) -> Result<i64, Error>;

    /// The newest epoch before `child.epoch` that has the link `child.digest` at `child.version`.
    /// Where none has it, the newest epoch before.
    async fn parent_epoch(&mut self, key: &SessionKey, child: LinkId) -> Result<Option<i64>, Error>;

    /// The last version of `epoch` that is not after `to`.
    async fn last_version(&mut self, key: &SessionKey, epoch: i64, to: i64) -> Result<Option<i64>, Error>;

    /// The first version of `epoch` between `from` and `to`, and its instant.
    async fn first_between(
        &mut self,
        key: &SessionKey,
        epoch: i64,
        from: i64,
        to: i64,
    ) -> Result<Option<(i64, Timestamp)>, Error>;

    /// The links at a position, in the order of their arrival.
    async fn links_at(&mut self, key: &SessionKey, epoch: i64, version: i64) -> Result<Vec<ForkedLink>, Error>;
}

/// The lineage of one session, read only as far back as the caller needs.
pub(super) struct Lineage<'a> {
    queries: &'a mut dyn LineageQueries,
    key: &'a SessionKey,
}

impl<'a> Lineage<'a> {
    pub fn of(queries: &'a mut dyn LineageQueries, key: &'a SessionKey) -> Self {
        Self { queries, key }
    }

    /// All segments, newest first.
    pub async fn segments(&mut self) -> Result<Vec<Segment>, Error> {
        self.segments_until(|_| false).await
    }

    /// The row of that version number.
    pub async fn version(&mut self, version: i64) -> Result<Option<LinkId>, Error> {
        let segments = self.segments_until(|segment| segment.from <= version).await?;
        let Some(segment) = segments.last() else { return Ok(None) };
        self.link_id(segment, version).await
    }

    /// The row that was the newest at an instant.
    pub async fn at(&mut self, at: Timestamp) -> Result<Option<LinkId>, Error> {
        let Some((segment, version)) = self.newest_at(at).await? else { return Ok(None) };
        self.link_id(&segment, version).await
    }

    /// The segment and the version that were the newest at an instant.
    pub async fn newest_at(&mut self, at: Timestamp) -> Result<Option<(Segment, i64)>, Error> {
        let segments = self.segments_until(|segment| segment.begun_at <= at).await?;
        let Some(segment) = segments.last().filter(|segment| segment.begun_at <= at) else { return Ok(None) };
        let last = self.queries.last_version(self.key, segment.epoch, segment.to).await?;
        // Versions come in the order of time: `low` is not after `at`, and all after `high` are.
        let (mut low, mut high) = (segment.from, last.unwrap_or(segment.from));
        while low < high {
            let middle = high - (high - low) / 2;
            match self.queries.first_between(self.key, segment.epoch, middle, high).await? {
                Some((version, then)) if then <= at => low = version,
                _ => high = middle - 1,
            }
        }
        Ok(Some((*segment, low)))
    }

    /// Whether the lineage passes through a row. Only one that `is_forked` needs a query.
    pub async fn contains(&mut self, segments: &[Segment], row: LinkId, is_forked: bool) -> Result<bool, Error> {
        match segments.iter().find(|segment| segment.contains(row.epoch, row.version)) {
            Some(segment) if is_forked => Ok(self.link_id(segment, row.version).await? == Some(row)),
            segment => Ok(segment.is_some()),
        }
    }

    /// Segments, newest first, up to and including the first that `is_enough`.
    async fn segments_until(&mut self, is_enough: impl Fn(&Segment) -> bool) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        let mut next = self.newest().await?;
        while let Some(segment) = next {
            segments.push(segment);
            next = if is_enough(&segment) { None } else { self.parent(&segment).await? };
        }
        Ok(segments)
    }

    async fn newest(&mut self) -> Result<Option<Segment>, Error> {
        let Some(epoch) = self.queries.newest_epoch(self.key).await? else { return Ok(None) };
        let last = self.queries.newest_digest(self.key, epoch).await?;
        self.segment(epoch, i64::MAX, last).await
    }

    /// The segment that `segment` was restored from. If the link it names is missing (refused, or
    /// deleted by someone), the epoch before is the best guess.
    async fn parent(&mut self, segment: &Segment) -> Result<Option<Segment>, Error> {
        let to = segment.to.min(segment.from - 1);
        let child = LinkId { epoch: segment.epoch, version: to, digest: segment.previous };
        let Some(epoch) = self.queries.parent_epoch(self.key, child).await? else { return Ok(None) };
        self.segment(epoch, to, Some(segment.previous)).await
    }

    async fn segment(&mut self, epoch: i64, to: i64, last: Option<Digest>) -> Result<Option<Segment>, Error> {
        let from = self.queries.first_version(self.key, epoch).await?;
        let first = self.survivor(epoch, from, to, last).await?;
        Ok(first.map(|ForkedLink { previous, at, .. }| Segment { epoch, from, to, begun_at: at, last, previous }))
    }

    async fn link_id(&mut self, segment: &Segment, version: i64) -> Result<Option<LinkId>, Error> {
        if !segment.contains(segment.epoch, version) {
            return Ok(None);
        }
        let survivor = self.survivor(segment.epoch, version, segment.to, segment.last).await?;
        Ok(survivor.map(|link| LinkId { epoch: segment.epoch, version, digest: link.digest }))
    }

    /// Which of the links at a position the lineage passes through. Follows a fork to where it
    /// joins, or to its end, and comes back by the digests.
    async fn survivor(
        &mut self,
        epoch: i64,
        version: i64,
        to: i64,
        last: Option<Digest>,
    ) -> Result<Option<ForkedLink>, Error> {
        let mut levels = vec![self.queries.links_at(self.key, epoch, version).await?];
        for later in version.saturating_add(1)..=to {
            let is_forked = levels.last().is_some_and(|level| level.len() > 1);
            let level = if is_forked { self.queries.links_at(self.key, epoch, later).await? } else { Vec::new() };
            if level.is_empty() {
                break;
            }
            levels.push(level);
        }
        Ok(levels.iter().rev().fold(None, |after: Option<ForkedLink>, level| {
            let named = after.map_or(last, |link| Some(link.previous));
            level.iter().find(|link| Some(link.digest) == named).or(level.first()).copied()
        }))
    }
}

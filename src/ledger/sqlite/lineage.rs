//! The surviving line of a session: from its newest version back to its first,
//! through the epochs it came from.
//!
//! The first link of an epoch names the link it was restored from. Rows of that
//! older epoch after it have not happened, as far as anyone now knows.

use sqlx::{Row as _, SqliteConnection};

use super::{failed, read};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::Error;

const NEWEST_EPOCH: &str = "select max(epoch) from session_snapshot where tenant = $1 and session_id = $2";
const FIRST_VERSION: &str = "select min(version) from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3";
const NEWEST_DIGEST: &str = "select digest from session where tenant = $1 and session_id = $2 and epoch = $3";
const AT_POSITION: &str = "select previous, digest, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 \
    order by arrival";
const LAST_VERSION: &str = "select max(version) from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version <= $4";
const FROM_VERSION: &str = "select version, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version between $4 and $5 \
    order by version \
    limit 1";
/// Goes down the older epochs, newest first, until one holds the link that was named.
const CAME_FROM: &str = "with recursive older (epoch) as ( \
        select max(epoch) from session_snapshot where tenant = $1 and session_id = $2 and epoch < $3 \
        union all \
        select (select max(epoch) from session_snapshot \
            where tenant = $1 and session_id = $2 and epoch < older.epoch) \
        from older \
        where older.epoch is not null and not exists ( \
            select 1 from session_snapshot \
            where tenant = $1 and session_id = $2 and epoch = older.epoch and version = $4 and digest = $5)) \
    select epoch \
    from older \
    where epoch is not null \
    order by exists ( \
        select 1 from session_snapshot \
        where tenant = $1 and session_id = $2 and epoch = older.epoch and version = $4 and digest = $5) desc, \
        epoch desc \
    limit 1";

/// What one epoch gave to the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub epoch: i64,
    pub from: i64,
    /// The last version of it, as far as is known.
    pub to: i64,
    pub begun_at: Timestamp,
    /// Digest of that last version.
    last: Option<Digest>,
    previous: Digest,
}

impl Segment {
    pub fn holds(&self, epoch: i64, version: i64) -> bool {
        self.epoch == epoch && (self.from..=self.to).contains(&version)
    }
}

/// One of the links at a position; there are several only where it has forked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForkedLink {
    pub previous: Digest,
    pub digest: Digest,
    pub at: Timestamp,
}

/// The line of one session, read as far back as somebody asked.
pub(super) struct Lineage<'a> {
    connection: &'a mut SqliteConnection,
    key: &'a SessionKey,
}

impl<'a> Lineage<'a> {
    pub fn of(connection: &'a mut SqliteConnection, key: &'a SessionKey) -> Self {
        Self { connection, key }
    }

    /// Segments, newest first, up to and with the first that `is_enough`.
    pub async fn until(&mut self, is_enough: impl Fn(&Segment) -> bool) -> Result<Vec<Segment>, Error> {
        let mut segments = Vec::new();
        let mut next = self.newest().await?;
        while let Some(segment) = next {
            segments.push(segment);
            next = if is_enough(&segment) { None } else { self.before(&segment).await? };
        }
        Ok(segments)
    }

    async fn newest(&mut self) -> Result<Option<Segment>, Error> {
        let query = sqlx::query_scalar(NEWEST_EPOCH).bind(self.key.tenant.as_str()).bind(self.key.session.as_str());
        let epoch: Option<i64> = query.fetch_one(&mut *self.connection).await.map_err(failed)?;
        let Some(epoch) = epoch else { return Ok(None) };
        let query =
            sqlx::query(NEWEST_DIGEST).bind(self.key.tenant.as_str()).bind(self.key.session.as_str()).bind(epoch);
        let row = query.fetch_optional(&mut *self.connection).await.map_err(failed)?;
        let last = row.map(|row| read::digest(&row, "digest")).transpose()?;
        self.segment(epoch, i64::MAX, last).await
    }

    async fn segment(&mut self, epoch: i64, to: i64, last: Option<Digest>) -> Result<Option<Segment>, Error> {
        let query = sqlx::query_scalar(FIRST_VERSION)
            .bind(self.key.tenant.as_str())
            .bind(self.key.session.as_str())
            .bind(epoch);
        let from: i64 = query.fetch_one(&mut *self.connection).await.map_err(failed)?;
        let first = self.survivor_of(epoch, from, to, last).await?;
        Ok(first.map(|ForkedLink { previous, at, .. }| Segment { epoch, from, to, begun_at: at, last, previous }))
    }

    /// Where `segment` came from. If the link it names is not there (it was
    /// refused, or someone took it away), the epoch before is the best guess.
    async fn before(&mut self, segment: &Segment) -> Result<Option<Segment>, Error> {
        let to = segment.to.min(segment.from - 1);
        let query = sqlx::query_scalar(CAME_FROM)
            .bind(self.key.tenant.as_str())
            .bind(self.key.session.as_str())
            .bind(segment.epoch)
            .bind(to)
            .bind(segment.previous.as_bytes().as_slice());
        let epoch: Option<i64> = query.fetch_optional(&mut *self.connection).await.map_err(failed)?;
        let Some(epoch) = epoch else { return Ok(None) };
        self.segment(epoch, to, Some(segment.previous)).await
    }

    /// The version that stood at an instant, and its segment.
    pub async fn at_instant(&mut self, at: Timestamp) -> Result<Option<(Segment, i64)>, Error> {
        let segments = self.until(|segment| segment.begun_at <= at).await?;
        let Some(segment) = segments.last().filter(|segment| segment.begun_at <= at) else { return Ok(None) };
        let query = sqlx::query_scalar(LAST_VERSION)
            .bind(self.key.tenant.as_str())
            .bind(self.key.session.as_str())
            .bind(segment.epoch)
            .bind(segment.to);
        let last: Option<i64> = query.fetch_one(&mut *self.connection).await.map_err(failed)?;
        // Versions come in the order of time: `stood` did, and nothing after `end` did.
        let (mut stood, mut end) = (segment.from, last.unwrap_or(segment.from));
        while stood < end {
            let middle = end - (end - stood) / 2;
            match self.first_from(segment.epoch, middle, end).await? {
                Some((version, then)) if then <= at => stood = version,
                _ => end = middle - 1,
            }
        }
        Ok(Some((*segment, stood)))
    }

    async fn first_from(&mut self, epoch: i64, from: i64, to: i64) -> Result<Option<(i64, Timestamp)>, Error> {
        let query = sqlx::query(FROM_VERSION)
            .bind(self.key.tenant.as_str())
            .bind(self.key.session.as_str())
            .bind(epoch)
            .bind(from)
            .bind(to);
        let row = query.fetch_optional(&mut *self.connection).await.map_err(failed)?;
        row.map(|row| Ok((row.try_get("version").map_err(failed)?, read::instant(&row, "at")?))).transpose()
    }

    /// Which of the links at a position the line goes through.
    pub async fn survivor(&mut self, segment: &Segment, version: i64) -> Result<Option<ForkedLink>, Error> {
        self.survivor_of(segment.epoch, version, segment.to, segment.last).await
    }

    /// Follows a fork on to where it is one again, or to its end, and comes back
    /// by the digests.
    async fn survivor_of(
        &mut self,
        epoch: i64,
        version: i64,
        to: i64,
        last: Option<Digest>,
    ) -> Result<Option<ForkedLink>, Error> {
        let mut levels = vec![self.links_at(epoch, version).await?];
        for later in version.saturating_add(1)..=to {
            let is_forked = levels.last().is_some_and(|level| level.len() > 1);
            let level = if is_forked { self.links_at(epoch, later).await? } else { Vec::new() };
            if level.is_empty() {
                break;
            }
            levels.push(level);
        }
        Ok(levels.iter().rev().fold(None, |after: Option<ForkedLink>, level| {
            let named = after.map_or(last, |twin| Some(twin.previous));
            level.iter().find(|twin| Some(twin.digest) == named).or(level.first()).copied()
        }))
    }

    async fn links_at(&mut self, epoch: i64, version: i64) -> Result<Vec<ForkedLink>, Error> {
        let query = sqlx::query(AT_POSITION)
            .bind(self.key.tenant.as_str())
            .bind(self.key.session.as_str())
            .bind(epoch)
            .bind(version);
        let rows = query.fetch_all(&mut *self.connection).await.map_err(failed)?;
        rows.iter()
            .map(|row| {
                let (previous, digest) = (read::digest(row, "previous")?, read::digest(row, "digest")?);
                Ok(ForkedLink { previous, digest, at: read::instant(row, "at")? })
            })
            .collect()
    }
}

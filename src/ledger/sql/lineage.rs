//! The queries of a lineage, in SQL.

use async_trait::async_trait;

use super::connection::SqlValue::{Bytes, Number};
use super::connection::{SqlConnection, SqlRow, of_session};
use super::decode::{digest, forked_link, instant};
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::Error;
use crate::ledger::error::refused;
use crate::ledger::lineage::{ForkedLink, LineageQueries, LinkId};

const NEWEST_EPOCH: &str = "select max(epoch) as epoch from session_snapshot where tenant = $1 and session_id = $2";
const NEWEST_DIGEST: &str = "select digest from session where tenant = $1 and session_id = $2 and epoch = $3";
const FIRST_VERSION: &str = "select min(version) as version from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3";
const LAST_VERSION: &str = "select max(version) as version from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version <= $4";
const FIRST_BETWEEN: &str = "select version, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version between $4 and $5 \
    order by version \
    limit 1";
const LINKS_AT: &str = "select previous, digest, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 \
    order by arrival";
/// Goes down the older epochs, newest first, until one has the link.
const PARENT_EPOCH: &str = "with recursive older (epoch) as ( \
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

#[async_trait]
impl<C: SqlConnection> LineageQueries for C {
    async fn newest_epoch(&mut self, key: &SessionKey) -> Result<Option<i64>, Error> {
        number(self.first(NEWEST_EPOCH, &of_session(key, &[])).await?, "epoch")
    }

    async fn newest_digest(&mut self, key: &SessionKey, epoch: i64) -> Result<Option<Digest>, Error> {
        let row = self.first(NEWEST_DIGEST, &of_session(key, &[Number(epoch)])).await?;
        row.map(|row| digest(&row, "digest")).transpose()
    }

    async fn first_version(&mut self, key: &SessionKey, epoch: i64) -> Result<i64, Error> {
        let row = self.first(FIRST_VERSION, &of_session(key, &[Number(epoch)])).await?;
        number(row, "version")?.ok_or_else(|| refused("the epoch has no version"))
    }

    async fn parent_epoch(&mut self, key: &SessionKey, child: LinkId) -> Result<Option<i64>, Error> {
        let link = [Number(child.epoch), Number(child.version), Bytes(Some(child.digest.as_bytes()))];
        number(self.first(PARENT_EPOCH, &of_session(key, &link)).await?, "epoch")
    }

    async fn last_version(&mut self, key: &SessionKey, epoch: i64, to: i64) -> Result<Option<i64>, Error> {
        number(self.first(LAST_VERSION, &of_session(key, &[Number(epoch), Number(to)])).await?, "version")
    }

    async fn first_between(
        &mut self,
        key: &SessionKey,
        epoch: i64,
        from: i64,
        to: i64,
    ) -> Result<Option<(i64, Timestamp)>, Error> {
        let values = of_session(key, &[Number(epoch), Number(from), Number(to)]);
        let row = self.first(FIRST_BETWEEN, &values).await?;
        row.map(|row| Ok((row.number("version")?, instant(&row, "at")?))).transpose()
    }

    async fn links_at(&mut self, key: &SessionKey, epoch: i64, version: i64) -> Result<Vec<ForkedLink>, Error> {
        let rows = self.all(LINKS_AT, &of_session(key, &[Number(epoch), Number(version)])).await?;
        rows.iter().map(forked_link).collect()
    }
}

/// An aggregate of no rows is null.
fn number(row: Option<impl SqlRow>, column: &str) -> Result<Option<i64>, Error> {
    row.map_or(Ok(None), |row| row.optional_number(column))
}

//! The queries of a lineage, answered by SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::decode::{digest, instant};
use super::error::failed;
use crate::domain::chain::Digest;
use crate::domain::id::SessionKey;
use crate::domain::time::Timestamp;
use crate::ledger::Error;
use crate::ledger::lineage::{ForkedLink, LineageQueries, LinkId, sql};

#[async_trait]
impl LineageQueries for SqliteConnection {
    async fn newest_epoch(&mut self, key: &SessionKey) -> Result<Option<i64>, Error> {
        let query = sqlx::query_scalar(sql::NEWEST_EPOCH).bind(key.tenant.as_str()).bind(key.session.as_str());
        query.fetch_one(&mut *self).await.map_err(failed)
    }

    async fn newest_digest(&mut self, key: &SessionKey, epoch: i64) -> Result<Option<Digest>, Error> {
        let query = sqlx::query(sql::NEWEST_DIGEST).bind(key.tenant.as_str()).bind(key.session.as_str()).bind(epoch);
        let row = query.fetch_optional(&mut *self).await.map_err(failed)?;
        row.map(|row| digest(&row, "digest")).transpose()
    }

    async fn first_version(&mut self, key: &SessionKey, epoch: i64) -> Result<i64, Error> {
        let query = sqlx::query_scalar(sql::FIRST_VERSION).bind(key.tenant.as_str()).bind(key.session.as_str());
        query.bind(epoch).fetch_one(&mut *self).await.map_err(failed)
    }

    async fn parent_epoch(&mut self, key: &SessionKey, child: LinkId) -> Result<Option<i64>, Error> {
        let query = sqlx::query_scalar(sql::PARENT_EPOCH).bind(key.tenant.as_str()).bind(key.session.as_str());
        let query = query.bind(child.epoch).bind(child.version).bind(child.digest.as_bytes().as_slice());
        query.fetch_optional(&mut *self).await.map_err(failed)
    }

    async fn last_version(&mut self, key: &SessionKey, epoch: i64, to: i64) -> Result<Option<i64>, Error> {
        let query = sqlx::query_scalar(sql::LAST_VERSION).bind(key.tenant.as_str()).bind(key.session.as_str());
        query.bind(epoch).bind(to).fetch_one(&mut *self).await.map_err(failed)
    }

    async fn first_between(
        &mut self,
        key: &SessionKey,
        epoch: i64,
        from: i64,
        to: i64,
    ) -> Result<Option<(i64, Timestamp)>, Error> {
        let query = sqlx::query(sql::FIRST_BETWEEN).bind(key.tenant.as_str()).bind(key.session.as_str());
        let row = query.bind(epoch).bind(from).bind(to).fetch_optional(&mut *self).await.map_err(failed)?;
        row.map(|row| Ok((row.try_get("version").map_err(failed)?, instant(&row, "at")?))).transpose()
    }

    async fn links_at(&mut self, key: &SessionKey, epoch: i64, version: i64) -> Result<Vec<ForkedLink>, Error> {
        let query = sqlx::query(sql::LINKS_AT).bind(key.tenant.as_str()).bind(key.session.as_str());
        let rows = query.bind(epoch).bind(version).fetch_all(&mut *self).await.map_err(failed)?;
        rows.iter().map(link).collect()
    }
}

fn link(row: &SqliteRow) -> Result<ForkedLink, Error> {
    let (previous, digest) = (digest(row, "previous")?, digest(row, "digest")?);
    Ok(ForkedLink { previous, digest, at: instant(row, "at")? })
}

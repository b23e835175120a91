//! Reads dead letters.

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresLedger;
use super::decode::{digest, idempotency_key, instant, key};
use super::error::read_failed as failed;
use crate::domain::chain::Link;
use crate::domain::entry::Entry;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::ledger::error::refused;
use crate::ledger::row::dead_letter_key;
use crate::ledger::{DeadLetter, DeadSessions, Error, MAX_DEAD_LETTERS};

const DEAD_LETTERS: &str = "select * \
    from dead_letter \
    where (tenant, session_id, position, digest) > ($1, $2, $3, $4) \
    order by tenant, session_id, position, digest \
    limit $5";

/// The column is a text, compared as its two numbers.
const DEAD_LETTERS_OF_SESSION: &str = "select tenant, session_id, position, at, previous, body_digest, digest, \
        case when turn = 1 then body end as body, change, repeat_key, repeat_body, reason, buried_at \
    from ( \
        select *, row_number() over ( \
            order by substring(position from '^(-?[0-9]+)-')::bigint desc, \
                substring(position from '-([0-9]+)$')::numeric desc, buried_at desc) as turn \
        from dead_letter \
        where tenant = $1 and session_id = $2) letter \
    where turn <= $3 \
    order by turn";
const FIRST_POSITION: &str = "select position \
    from dead_letter \
    where tenant = $1 and session_id = $2 \
    and (substring(position from '^(-?[0-9]+)-')::bigint, \
        substring(position from '-([0-9]+)$')::numeric) > ($3, $4::numeric) \
    order by substring(position from '^(-?[0-9]+)-')::bigint, \
        substring(position from '-([0-9]+)$')::numeric \
    limit 1";
const COUNT: &str = "select count(*) from dead_letter";
const SESSIONS: &str = "select distinct tenant, session_id from dead_letter order by tenant, session_id limit $1";

impl PostgresLedger {
    pub(super) async fn read_dead_letters(
        &self,
        after: Option<&DeadLetter>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        let (tenant, session, position, digest) = dead_letter_key(after);
        let query =
            sqlx::query(DEAD_LETTERS).bind(tenant).bind(session).bind(position).bind(digest).bind(i64::from(limit));
        let rows = query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?;
        rows.iter().map(dead_letter).collect()
    }

    pub(super) async fn read_dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        let query = sqlx::query(DEAD_LETTERS_OF_SESSION).bind(key.tenant.as_str()).bind(key.session.as_str());
        let query = query.bind(i64::from(MAX_DEAD_LETTERS));
        let rows = query.fetch_all(&mut *self.reader().await?).await.map_err(failed)?;
        rows.iter().map(dead_letter).collect()
    }

    pub(super) async fn read_first_dead(
        &self,
        key: &SessionKey,
        after: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let after = after.unwrap_or(Position { epoch: i64::MIN, version: 0 });
        let query = sqlx::query_scalar(FIRST_POSITION)
            .bind(key.tenant.as_str())
            .bind(key.session.as_str())
            .bind(after.epoch)
            .bind(i64::try_from(after.version).unwrap_or(i64::MAX));
        let found: Option<String> = query.fetch_optional(&mut *self.reader().await?).await.map_err(failed)?;
        found.map(|position| position.parse().map_err(refused)).transpose()
    }

    pub(super) async fn read_dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        let mut reader = self.reader().await?;
        let letters: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *reader).await.map_err(failed)?;
        if letters == 0 {
            return Ok(DeadSessions::default());
        }
        let query = sqlx::query(SESSIONS).bind(i64::from(limit));
        let rows = query.fetch_all(&mut *reader).await.map_err(failed)?;
        let sessions = rows.iter().map(key).collect::<Result<_, _>>()?;
        Ok(DeadSessions { letters: letters.cast_unsigned(), sessions })
    }
}

fn dead_letter(row: &PgRow) -> Result<DeadLetter, Error> {
    let position: &str = row.try_get("position").map_err(failed)?;
    let link = Link {
        position: position.parse().map_err(refused)?,
        at: instant(row, "at")?,
        previous: digest(row, "previous")?,
        body: digest(row, "body_digest")?,
    };
    let body: Option<Vec<u8>> = row.try_get("body").map_err(failed)?;
    let change: Vec<u8> = row.try_get("change").map_err(failed)?;
    let has_idempotency_key = row.try_get::<Option<&[u8]>, _>("repeat_key").map_err(failed)?.is_some();
    let idempotency = has_idempotency_key.then(|| idempotency_key(row)).transpose()?;
    Ok(DeadLetter {
        entry: Entry { key: key(row)?, link, body: body.map(Bytes::from), change: change.into(), idempotency },
        reason: row.try_get("reason").map_err(failed)?,
        buried_at: instant(row, "buried_at")?,
    })
}

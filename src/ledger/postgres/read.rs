//! Queries for PostgreSQL, and the list of a tenant's sessions.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use super::error::read_failed as failed;
use super::{PostgresLedger, label};
use crate::domain::id::{SessionId, TenantId};
use crate::ledger::page::PAGE_BYTES;
use crate::ledger::row::DELETED;
use crate::ledger::sql::SqlDatabase as _;
use crate::ledger::{Error, Filter};

/// The columns of a change, and whether it shares its position with another. The inner
/// condition must not split a position. The body is excluded: it may be far longer than the
/// change.
macro_rules! changes {
    ($inner:literal, $outer:literal) => {
        concat!(
            "select snapshot.* \
            from ( \
                select tenant, session_id, epoch, version, at, previous, body_digest, digest, change, arrival, \
                    repeat_key, repeat_body, count(*) over (partition by epoch, version) > 1 as forked \
                from session_snapshot ",
            $inner,
            ") snapshot ",
            $outer
        )
    };
}

pub(super) const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest, at) \
    where tenant = $1 and session_id = $2";
/// Sums up the lengths of a page before it is cut.
pub(super) const HISTORY_PAGE: &str = concat!(
    "select * \
    from ( \
        select page.*, count(*) over () as found, \
            sum($6 + octet_length(change)) over (order by epoch, version, arrival) \
                - $6 - octet_length(change) as before \
        from (",
    changes!(
        "where tenant = $1 and session_id = $2 and (epoch, version) > ($3, $4)",
        "order by epoch, version, arrival \
        limit $5"
    ),
    ") page \
    ) sized \
    where before < $7 \
    order by epoch, version, arrival"
);
pub(super) const REST_OF_POSITION: &str = changes!(
    "where tenant = $1 and session_id = $2 and epoch = $3 and version = $4",
    "where arrival > $5 \
    order by arrival"
);
pub(super) const IDEMPOTENCY_RECORDS: &str = changes!(
    "where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4)",
    "where at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// The column is a text, compared as its two numbers.
pub(super) const DEAD_LETTERS_OF_SESSION: &str = "select tenant, session_id, position, at, previous, body_digest, digest, \
        case when turn = 1 then body end as body, change, repeat_key, repeat_body, reason, buried_at \
    from ( \
        select *, row_number() over ( \
            order by substring(position from '^(-?[0-9]+)-')::bigint desc, \
                substring(position from '-([0-9]+)$')::numeric desc, buried_at desc) as turn \
        from dead_letter \
        where tenant = $1 and session_id = $2) letter \
    where turn <= $3 \
    order by turn";
pub(super) const FIRST_DEAD_POSITION: &str = "select position \
    from dead_letter \
    where tenant = $1 and session_id = $2 \
    and (substring(position from '^(-?[0-9]+)-')::bigint, \
        substring(position from '-([0-9]+)$')::numeric) > ($3, $4::numeric) \
    order by substring(position from '^(-?[0-9]+)-')::bigint, \
        substring(position from '-([0-9]+)$')::numeric \
    limit 1";

/// The page first, then a look-up for each of its rows, which `limit` enforces. Bodies past the
/// end of the page are measured, not read.
const SESSIONS: &str = "select * \
    from ( \
        select snapshot.*, count(*) over () as found, \
            sum(coalesce(octet_length(snapshot.body), 0)) over (order by snapshot.session_id) \
                - coalesce(octet_length(snapshot.body), 0) as before \
        from ( \
            select * \
            from session \
            where session.tenant = ";
const SESSION_SNAPSHOTS: &str = ") page \
        cross join lateral ( \
            select * \
            from session_snapshot \
            where tenant = page.tenant and session_id = page.session_id and epoch = page.epoch \
            and version = page.version and digest = page.digest and at = page.at \
            limit 1 \
        ) snapshot \
    ) sized \
    where before < ";
const SESSION_ORDER: &str = " order by session_id";

impl PostgresLedger {
    pub(super) async fn read_session_rows(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<PgRow>, Error> {
        let mut query = QueryBuilder::<Postgres>::new(SESSIONS);
        query.push_bind(tenant.as_str());
        push_filter(&mut query, tenant, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(SESSION_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(SESSION_ORDER);
        // Each filter needs a plan of its own: statuses and labels differ in selectivity by thousands.
        let query = query.build().persistent(false);
        query.fetch_all(&mut *self.reader().await?).await.map_err(failed)
    }
}

/// Binds every value of the caller; none becomes part of the statement.
fn push_filter(query: &mut QueryBuilder<Postgres>, tenant: &TenantId, filter: &Filter) {
    match &filter.status {
        Some(status) => query.push(" and session.status = ").push_bind(status.as_str()),
        None => query.push(" and session.status <> ").push_bind(DELETED),
    };
    if let Some(after) = filter.updated_after {
        query.push(" and session.updated_at > ").push_bind(after.as_ms());
    }
    if let Some(allowed) = &filter.sessions {
        let allowed: Vec<String> = allowed.iter().map(SessionId::to_string).collect();
        query.push(" and session.session_id = any(").push_bind(allowed).push(")");
    }
    let labels = label::of_filter(tenant, filter);
    if !labels.is_empty() {
        query.push(" and session.session_id in (select session_id from session_label where tenant = ");
        query.push_bind(tenant.as_str()).push(" and labels @> ").push_bind(labels).push(")");
    }
}

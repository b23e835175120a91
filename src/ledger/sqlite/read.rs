//! Queries for SQLite, and the list of a tenant's sessions.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::SqliteLedger;
use super::error::failed;
use crate::domain::id::{SessionId, TenantId};
use crate::ledger::page::PAGE_BYTES;
use crate::ledger::row::DELETED;
use crate::ledger::sql::SqlDatabase as _;
use crate::ledger::{Error, Filter};

/// The columns of a change, and whether it shares its position with another. The body is
/// excluded: it may be far longer than the change.
macro_rules! changes {
    ($columns:literal, $rest:literal) => {
        concat!(
            "select snapshot.tenant, snapshot.session_id, snapshot.epoch, snapshot.version, snapshot.at, \
                snapshot.previous, snapshot.body_digest, snapshot.digest, snapshot.change, snapshot.arrival, \
                snapshot.repeat_key, snapshot.repeat_body, exists ( \
                select 1 from session_snapshot other \
                where other.tenant = snapshot.tenant and other.session_id = snapshot.session_id \
                and other.epoch = snapshot.epoch and other.version = snapshot.version \
                and other.arrival <> snapshot.arrival) as forked ",
            $columns,
            $rest
        )
    };
}

pub(super) const NEWEST: &str = "select snapshot.* \
    from session \
    join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
    where tenant = $1 and session_id = $2";
/// Measures the page first, by lengths alone. SQLite reaches columns after a body over the pages
/// of the body, so a part of its length counts too.
pub(super) const HISTORY_PAGE: &str = changes!(
    ", sized.found ",
    "from ( \
        select arrival, epoch, version, count(*) over () as found, \
            sum(size) over (order by epoch, version, arrival) - size as before \
        from ( \
            select arrival, epoch, version, \
                $6 + octet_length(change) + coalesce(octet_length(body), 0) / 64 as size \
            from session_snapshot \
            where tenant = $1 and session_id = $2 and (epoch, version) > ($3, $4) \
            order by epoch, version, arrival \
            limit $5)) sized \
    cross join session_snapshot snapshot on snapshot.arrival = sized.arrival \
    where sized.before < $7 \
    order by sized.epoch, sized.version, sized.arrival"
);
pub(super) const REST_OF_POSITION: &str = changes!(
    "",
    "from session_snapshot snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 and arrival > $5 \
    order by arrival"
);
pub(super) const IDEMPOTENCY_RECORDS: &str = changes!(
    "",
    "from session_snapshot snapshot \
    where tenant = $1 and session_id = $2 and (epoch, version) >= ($3, $4) \
    and at >= $5 and repeat_key is not null \
    order by epoch, version, arrival"
);
/// The column is a text, compared as its two numbers.
pub(super) const DEAD_LETTERS_OF_SESSION: &str = "select tenant, session_id, position, at, previous, body_digest, digest, \
        case when turn = 1 then body end as body, change, repeat_key, repeat_body, reason, buried_at \
    from ( \
        select *, row_number() over ( \
            order by cast(position as integer) desc, \
                cast(substr(position, instr(substr(position, 2), '-') + 2) as integer) desc, buried_at desc) as turn \
        from dead_letter \
        where tenant = $1 and session_id = $2) letter \
    where turn <= $3 \
    order by turn";
pub(super) const FIRST_DEAD_POSITION: &str = "select position \
    from dead_letter \
    where tenant = $1 and session_id = $2 \
    and (cast(position as integer), \
        cast(substr(position, instr(substr(position, 2), '-') + 2) as integer)) > ($3, $4) \
    order by cast(position as integer), \
        cast(substr(position, instr(substr(position, 2), '-') + 2) as integer) \
    limit 1";

/// Measures the page first: bodies past its end are not read.
const SESSIONS: &str = "select snapshot.*, sized.found \
    from ( \
        select arrival, session_id, count(*) over () as found, \
            sum(size) over (order by session_id) - size as before \
        from ( \
            select snapshot.arrival, session.session_id, coalesce(octet_length(snapshot.body), 0) as size \
            from session \
            join session_snapshot snapshot using (tenant, session_id, epoch, version, digest) \
            where session.tenant = ";
const SESSION_SNAPSHOTS: &str = ")) sized \
    cross join session_snapshot snapshot on snapshot.arrival = sized.arrival \
    where sized.before < ";
const SESSION_ORDER: &str = " order by sized.session_id";

impl SqliteLedger {
    pub(super) async fn read_session_rows(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SqliteRow>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new(SESSIONS);
        query.push_bind(tenant.as_str());
        push_filter(&mut query, filter);
        if let Some(after) = after {
            query.push(" and session.session_id > ").push_bind(after.as_str());
        }
        query.push(" order by session.session_id limit ").push_bind(i64::from(limit) + 1);
        query.push(SESSION_SNAPSHOTS).push_bind(i64::from(PAGE_BYTES)).push(SESSION_ORDER);
        query.build().fetch_all(&mut *self.reader().await?).await.map_err(failed)
    }
}

/// Binds every value of the caller; none becomes part of the statement.
fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    match &filter.status {
        Some(status) => query.push(" and session.status = ").push_bind(status.as_str()),
        None => query.push(" and session.status <> ").push_bind(DELETED),
    };
    if let Some(sync_mode) = &filter.sync_mode {
        query.push(" and session.sync_mode = ").push_bind(sync_mode.as_str());
    }
    if let Some(after) = filter.updated_after {
        query.push(" and session.updated_at > ").push_bind(after.as_ms());
    }
    if let Some(allowed) = &filter.sessions {
        let allowed: Vec<&str> = allowed.iter().map(SessionId::as_str).collect();
        query.push(" and session.session_id in (select value from json_each(");
        query.push_bind(serde_json::json!(allowed).to_string()).push("))");
    }
    if let Some(participant) = &filter.participant_id {
        query.push(" and exists (select 1 from json_each(session.participants) where value = ");
        query.push_bind(participant.as_str()).push(")");
    }
    for (name, text) in &filter.metadata {
        query.push(" and exists (select 1 from json_each(session.metadata) where key = ");
        query.push_bind(name.as_str()).push(" and value = ").push_bind(text.as_str()).push(")");
    }
}

//! The queries of a lineage, the same text for both backends.

pub(in crate::ledger) const NEWEST_EPOCH: &str =
    "select max(epoch) from session_snapshot where tenant = $1 and session_id = $2";
pub(in crate::ledger) const NEWEST_DIGEST: &str =
    "select digest from session where tenant = $1 and session_id = $2 and epoch = $3";
pub(in crate::ledger) const FIRST_VERSION: &str = "select min(version) from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3";
pub(in crate::ledger) const LAST_VERSION: &str = "select max(version) from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version <= $4";
pub(in crate::ledger) const FIRST_BETWEEN: &str = "select version, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version between $4 and $5 \
    order by version \
    limit 1";
pub(in crate::ledger) const LINKS_AT: &str = "select previous, digest, at from session_snapshot \
    where tenant = $1 and session_id = $2 and epoch = $3 and version = $4 \
    order by arrival";
/// Goes down the older epochs, newest first, until one has the link.
pub(in crate::ledger) const PARENT_EPOCH: &str = "with recursive older (epoch) as ( \
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

//! The schema: migrated by one instance at a time, and compared with what this release needs.

use std::collections::BTreeMap;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::connect;
use super::error::failed;
use crate::ledger::Error;
use crate::ledger::error::{refused, unavailable};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Months whose partitions are made ahead, the current one included.
pub(super) const MONTHS_AHEAD: i32 = 3;

const APPLIED_MIGRATIONS: &str =
    "select version, description, success, checksum from _sqlx_migrations order by version";
/// Gives the roles that serve what this release needs, and no more. They are those that may insert history and do not
/// own it.
const RENEW_RIGHTS: &str = "select ledger_grant(grantee::regrole) \
    from (select distinct grantee \
        from pg_class, aclexplode(relacl) \
        where oid = 'session_snapshot'::regclass and privilege_type = 'INSERT' \
        and grantee <> 0 and not pg_has_role(grantee, relowner, 'member')) serving";
const PREPARE_MONTHS: &str = "select session_snapshot_prepare((extract(epoch from now()) * 1000)::bigint, $1)";

/// Why this release cannot work with the schema.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Incompatible {
    #[error("the schema is older than this release: run `synckairos migrate`")]
    Older,
    #[error("migration {0} stopped half-way: see what it left, then run `synckairos migrate`")]
    HalfWay(i64),
    #[error("migration {0} is not the one this release has")]
    Altered(i64),
    #[error("the schema is newer than this release, which cannot work with it: see migration {0}")]
    Newer(i64),
}

/// A migration as recorded in the database.
struct Applied {
    description: String,
    is_whole: bool,
    checksum: Vec<u8>,
}

/// Migrates the schema. The lock belongs to the database session and ends with it.
pub(super) async fn migrate(options: PgConnectOptions) -> Result<(), Error> {
    let mut connection = connect::connect(&options).await?;
    let mut migrations = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A newer release may have added to the schema, and may not have removed from it.
    migrations.set_ignore_missing(true);
    // `run` does the same, but the compiler cannot prove its future `Send`, as a task needs.
    migrations.run_direct(None, &mut connection, false).await.map_err(unavailable)?;
    sqlx::query(RENEW_RIGHTS).execute(&mut connection).await.map_err(failed)?;
    prepare(&mut connection).await?;
    connection.close().await.map_err(failed)
}

async fn prepare(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(PREPARE_MONTHS).bind(MONTHS_AHEAD).execute(connection).await.map(drop).map_err(failed)
}

/// Checks that the schema has all that this release needs. Returns the newest migration if a
/// newer release made it.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Option<i64>, Error> {
    let applied = match sqlx::query_as(APPLIED_MIGRATIONS).fetch_all(connection).await {
        Ok(rows) => rows,
        Err(error) if is_no_table(&error) => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let row = |(version, description, is_whole, checksum)| (version, Applied { description, is_whole, checksum });
    compare(applied.into_iter().map(row).collect()).map_err(refused)
}

fn is_no_table(error: &sqlx::Error) -> bool {
    const UNDEFINED_TABLE: &str = "42P01";
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == UNDEFINED_TABLE)
}

fn compare(mut applied: BTreeMap<i64, Applied>) -> Result<Option<i64>, Incompatible> {
    if let Some((version, _)) = applied.iter().find(|(_, migration)| !migration.is_whole) {
        return Err(Incompatible::HalfWay(*version));
    }
    for needed in MIGRATIONS.iter() {
        let found = applied.remove(&needed.version).ok_or(Incompatible::Older)?;
        if found.checksum != *needed.checksum {
            return Err(Incompatible::Altered(needed.version));
        }
    }
    // The rest is newer. It only adds to the schema, unless its name says otherwise.
    let contraction = applied.iter().find(|(_, migration)| migration.description.starts_with("contract"));
    match contraction {
        Some((version, _)) => Err(Incompatible::Newer(*version)),
        None => Ok(applied.last_key_value().map(|(version, _)| *version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied() -> BTreeMap<i64, Applied> {
        let row = |migration: &sqlx::migrate::Migration| Applied {
            description: migration.description.to_string(),
            is_whole: true,
            checksum: migration.checksum.to_vec(),
        };
        MIGRATIONS.iter().map(|migration| (migration.version, row(migration))).collect()
    }

    fn newer(description: &str) -> Applied {
        Applied { description: description.to_owned(), is_whole: true, checksum: vec![1] }
    }

    #[test]
    fn the_migrations_of_this_release_must_be_applied_unaltered() {
        assert_eq!(compare(applied()), Ok(None));
        assert_eq!(compare(BTreeMap::new()), Err(Incompatible::Older));
        let mut some = applied();
        some.pop_last();
        assert_eq!(compare(some), Err(Incompatible::Older));
        let mut other = applied();
        other.insert(2, newer("dead letter"));
        assert_eq!(compare(other), Err(Incompatible::Altered(2)));
        let mut broken = applied();
        broken.insert(3, Applied { is_whole: false, ..newer("heartbeat") });
        assert_eq!(compare(broken), Err(Incompatible::HalfWay(3)));
    }

    #[test]
    fn a_newer_expansion_is_accepted_and_a_newer_contraction_is_refused() {
        let mut expanded = applied();
        expanded.insert(9_000, newer("expand session"));
        assert_eq!(compare(expanded), Ok(Some(9_000)));
        let mut contracted = applied();
        contracted.insert(9_001, newer("contract session"));
        assert_eq!(compare(contracted), Err(Incompatible::Newer(9_001)));
    }
}

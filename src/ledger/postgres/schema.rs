//! The schema: brought up by one instance at a time, and held against what this release needs.

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

/// Months whose partitions are made ahead, the present one included.
pub(super) const MONTHS_AHEAD: i32 = 3;

const APPLIED: &str = "select version, description, success, checksum from _sqlx_migrations order by version";
const PREPARE: &str = "select session_snapshot_prepare((extract(epoch from now()) * 1000)::bigint, $1)";

/// Why this release and the schema do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Schema {
    #[error("the schema is older than this release: run `synckairos migrate`")]
    Older,
    #[error("migration {0} stopped half-way: see what it left, then run `synckairos migrate`")]
    HalfWay(i64),
    #[error("migration {0} is not the one this release has")]
    Altered(i64),
    #[error("the schema is newer than this release, which cannot work with it: see migration {0}")]
    Newer(i64),
}

/// A migration as the database has it.
struct Applied {
    description: String,
    is_whole: bool,
    checksum: Vec<u8>,
}

/// Brings the schema up. The lock is the session's, and goes with the connection.
pub(super) async fn migrate(connecting: PgConnectOptions) -> Result<(), Error> {
    let mut connection = connect::connect(&connecting).await?;
    let mut migrations = Migrator { migrations: MIGRATIONS.migrations.clone(), ..Migrator::DEFAULT };
    // A newer release may have added to the schema; what this one needs is still there.
    migrations.set_ignore_missing(true);
    // `run` does the same, but its future cannot be shown to be `Send`, as that of a task must be.
    migrations.run_direct(None, &mut connection, false).await.map_err(unavailable)?;
    prepare(&mut connection).await?;
    connection.close().await.map_err(failed)
}

async fn prepare(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(PREPARE).bind(MONTHS_AHEAD).execute(connection).await.map(drop).map_err(failed)
}

/// Whether this release can work with the schema: all it needs is there, and nothing
/// it needs has been taken away. Gives the newest migration, where a newer release made it.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Option<i64>, Error> {
    let applied = match sqlx::query_as(APPLIED).fetch_all(connection).await {
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

fn compare(mut applied: BTreeMap<i64, Applied>) -> Result<Option<i64>, Schema> {
    if let Some((version, _)) = applied.iter().find(|(_, migration)| !migration.is_whole) {
        return Err(Schema::HalfWay(*version));
    }
    for needed in MIGRATIONS.iter() {
        let found = applied.remove(&needed.version).ok_or(Schema::Older)?;
        if found.checksum != *needed.checksum {
            return Err(Schema::Altered(needed.version));
        }
    }
    // What is left is newer. It only adds, unless its name says that it takes away.
    let takes_away = applied.iter().find(|(_, migration)| migration.description.starts_with("contract"));
    match takes_away {
        Some((version, _)) => Err(Schema::Newer(*version)),
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
    fn what_this_release_needs_must_be_there_as_it_has_it() {
        assert_eq!(compare(applied()), Ok(None));
        assert_eq!(compare(BTreeMap::new()), Err(Schema::Older));
        let mut some = applied();
        some.pop_last();
        assert_eq!(compare(some), Err(Schema::Older));
        let mut other = applied();
        other.insert(2, newer("dead letter"));
        assert_eq!(compare(other), Err(Schema::Altered(2)));
        let mut broken = applied();
        broken.insert(3, Applied { is_whole: false, ..newer("heartbeat") });
        assert_eq!(compare(broken), Err(Schema::HalfWay(3)));
    }

    #[test]
    fn what_a_newer_release_added_is_let_be_and_what_it_took_away_is_missed() {
        let mut expanded = applied();
        expanded.insert(9_000, newer("expand session"));
        assert_eq!(compare(expanded), Ok(Some(9_000)));
        let mut contracted = applied();
        contracted.insert(9_001, newer("contract session"));
        assert_eq!(compare(contracted), Err(Schema::Newer(9_001)));
    }
}

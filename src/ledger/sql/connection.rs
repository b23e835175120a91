//! Queries of either database: values go in, rows come out.

use async_trait::async_trait;

use crate::domain::id::SessionKey;
use crate::ledger::Error;

/// A value that a statement takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) enum SqlValue<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(Option<&'a [u8]>),
}

/// The key of a session, and further values.
pub(in crate::ledger) fn of_session<'a>(key: &'a SessionKey, more: &[SqlValue<'a>]) -> Vec<SqlValue<'a>> {
    let key = [SqlValue::Text(key.tenant.as_str()), SqlValue::Text(key.session.as_str())];
    key.iter().chain(more).copied().collect()
}

/// The columns of a row by their names.
pub(in crate::ledger) trait SqlRow: Send + Sync {
    fn number(&self, column: &str) -> Result<i64, Error>;

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Error>;

    fn flag(&self, column: &str) -> Result<bool, Error>;

    fn text(&self, column: &str) -> Result<&str, Error>;

    fn bytes(&self, column: &str) -> Result<&[u8], Error>;

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Error>;
}

/// A connection, in a transaction or not.
#[async_trait]
pub(in crate::ledger) trait SqlConnection: Send {
    type Row: SqlRow;

    /// All rows that a query finds.
    async fn all(&mut self, query: &'static str, values: &[SqlValue<'_>]) -> Result<Vec<Self::Row>, Error>;

    /// The only row that a query finds, if any.
    async fn first(&mut self, query: &'static str, values: &[SqlValue<'_>]) -> Result<Option<Self::Row>, Error>;

    /// Executes a statement; returns the number of rows it changed.
    async fn execute(&mut self, statement: &'static str, values: &[SqlValue<'_>]) -> Result<u64, Error>;
}

/// Implements both traits for the types of a database, given what its errors mean in reads and in
/// writes. `sqlx` has no trait for what its rows and connections have in common.
macro_rules! sql_connection {
    ($database:ty, $connection:ty, $row:ty, $read_failed:path, $write_failed:path) => {
        impl $crate::ledger::sql::connection::SqlRow for $row {
            fn number(&self, column: &str) -> Result<i64, $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }

            fn optional_number(&self, column: &str) -> Result<Option<i64>, $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }

            fn flag(&self, column: &str) -> Result<bool, $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }

            fn text(&self, column: &str) -> Result<&str, $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }

            fn bytes(&self, column: &str) -> Result<&[u8], $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }

            fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, $crate::ledger::Error> {
                sqlx::Row::try_get(self, column).map_err($read_failed)
            }
        }

        #[async_trait::async_trait]
        impl $crate::ledger::sql::connection::SqlConnection for $connection {
            type Row = $row;

            async fn all(
                &mut self,
                query: &'static str,
                values: &[$crate::ledger::sql::connection::SqlValue<'_>],
            ) -> Result<Vec<$row>, $crate::ledger::Error> {
                bound(query, values).fetch_all(self).await.map_err($read_failed)
            }

            async fn first(
                &mut self,
                query: &'static str,
                values: &[$crate::ledger::sql::connection::SqlValue<'_>],
            ) -> Result<Option<$row>, $crate::ledger::Error> {
                bound(query, values).fetch_optional(self).await.map_err($read_failed)
            }

            async fn execute(
                &mut self,
                statement: &'static str,
                values: &[$crate::ledger::sql::connection::SqlValue<'_>],
            ) -> Result<u64, $crate::ledger::Error> {
                bound(statement, values).execute(self).await.map(|done| done.rows_affected()).map_err($write_failed)
            }
        }

        fn bound<'q>(
            statement: &'static str,
            values: &[$crate::ledger::sql::connection::SqlValue<'q>],
        ) -> sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments> {
            use $crate::ledger::sql::connection::SqlValue;
            values.iter().fold(sqlx::query(statement), |query, value| match *value {
                SqlValue::Number(number) => query.bind(number),
                SqlValue::Text(text) => query.bind(text),
                SqlValue::Bytes(bytes) => query.bind(bytes),
            })
        }
    };
}
pub(in crate::ledger) use sql_connection;

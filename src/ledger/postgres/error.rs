//! Which errors of PostgreSQL are refusals, and which may pass with time.

use sqlx::error::DatabaseError;

use crate::ledger::error::{Error, refused, unavailable};

/// An invalid value or a constraint is a refusal. Any other error may pass with time, even a
/// missing table or privilege.
pub(super) fn failed(error: sqlx::Error) -> Error {
    const CHECK: &str = "23514";
    let database = error.as_database_error();
    let code = database.and_then(DatabaseError::code);
    let is_refusal = match (&error, code.as_deref()) {
        (sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }, _) => true,
        // A check without a name is a partition's: its month was just made, and a retry finds it.
        (_, Some(CHECK)) => database.is_some_and(|error| error.constraint().is_some()),
        // Invalid data, constraints, exceeded limits.
        (_, Some(code)) => ["22", "23", "54"].iter().any(|class| code.starts_with(class)),
        _ => false,
    };
    if is_refusal { refused(error) } else { unavailable(error) }
}

/// The same for a read. The server is up if it cancels a read at its time limit.
pub(super) fn read_failed(error: sqlx::Error) -> Error {
    const CANCELED: &str = "57014";
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.as_deref() == Some(CANCELED) { Error::TooLong } else { failed(error) }
}

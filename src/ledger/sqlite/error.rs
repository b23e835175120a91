//! Which errors of SQLite are refusals, and which may pass with time.

use crate::ledger::error::{Error, refused, unavailable};

/// A constraint, a type or a size is a refusal. Any other error may pass with time.
pub(super) fn failed(error: sqlx::Error) -> Error {
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    let is_refusal = match (&error, code) {
        (sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }, _) => true,
        // The low byte is the primary code; the others tell which constraint.
        (_, Some(code)) => matches!(code & 0xff, TOO_BIG | CONSTRAINT | MISMATCH),
        _ => false,
    };
    if is_refusal { refused(error) } else { unavailable(error) }
}

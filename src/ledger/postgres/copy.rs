//! New versions by `COPY`, in its binary form: half of what inserting them takes.
//!
//! It knows no `on conflict`, so it is for what should meet nothing that is there.

use sqlx::postgres::PgConnection;

use crate::domain::entry::Entry;
use crate::ledger::row::Columns;

const COPY: &str = "copy session_snapshot \
        (tenant, session_id, epoch, version, at, previous, body_digest, digest, body, change, repeat_key, repeat_body) \
    from stdin (format binary)";

const COLUMNS: u16 = 12;

/// By which the form is known; then no flags, and no more of a header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Where a row would say how many columns it has.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// As long as a null is.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What a row takes besides its body and what happened, roughly.
const ROW_OVERHEAD: usize = 320;

/// Writes them all, or fails; gives how many they were.
pub(super) async fn snapshots(batch: &mut PgConnection, columns: &[&Columns<'_>]) -> sqlx::Result<u64> {
    let mut copy = batch.copy_in_raw(COPY).await?;
    copy.send(rows(columns)).await?;
    copy.finish().await
}

fn rows(columns: &[&Columns<'_>]) -> Vec<u8> {
    let long = |row: &&Columns<'_>| ROW_OVERHEAD + row.body.map_or(0, str::len) + row.change.len();
    let mut out = Vec::with_capacity(columns.iter().map(long).sum());
    out.extend_from_slice(HEADER);
    for row in columns {
        put_row(&mut out, row);
    }
    out.extend_from_slice(&END);
    out
}

fn put_row(out: &mut Vec<u8>, row: &Columns<'_>) {
    let Entry { key, link, idempotency: repeat, .. } = row.entry;
    out.extend_from_slice(&COLUMNS.to_be_bytes());
    for text in [key.tenant.as_str(), key.session.as_str()] {
        put(out, text.as_bytes());
    }
    for number in [link.position.epoch, row.version, link.at.as_ms()] {
        put(out, &number.to_be_bytes());
    }
    for digest in [link.previous, link.body, row.digest] {
        put(out, digest.as_bytes());
    }
    put_or_null(out, row.body.map(str::as_bytes));
    put(out, row.change.as_bytes());
    put_or_null(out, repeat.as_ref().map(|repeat| repeat.key.as_bytes().as_slice()));
    put_or_null(out, repeat.as_ref().map(|repeat| repeat.body.as_bytes().as_slice()));
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    // One that is longer than the form can say is longer than the server takes: it refuses what this makes of it.
    out.extend_from_slice(&i32::try_from(field.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

fn put_or_null(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => put(out, field),
        None => out.extend_from_slice(&NULL),
    }
}

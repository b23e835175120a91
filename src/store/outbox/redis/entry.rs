//! An entry as it stands in a stream: one field, `e`.
//!
//! It is a line of words, `<format> <whose session> <position> <instant> <whether it came
//! with an idempotency key>`; then 32 bytes each: the digest of the link before, that of
//! the body and, where it came with a key, that of the key and that of what came with
//! it; then what happened. The body stands elsewhere, so that it can go alone.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;

use super::super::{EntryId, OutboxEntry};
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::{Entry, IdempotencyKey};
use crate::domain::time::Timestamp;
use crate::redis::RedisError;
use crate::store::keys;

/// The format this build writes, and the only one it reads.
const FORMAT: &str = "1";

const DIGEST_BYTES: usize = 32;

/// Writes an entry without its body, as it is stored.
pub fn pack(entry: &Entry, into: &mut Vec<u8>) {
    let Entry { key, link, change, idempotency: repeat, .. } = entry;
    let has_key = u8::from(repeat.is_some());
    // Into memory: it cannot fail.
    let _ = writeln!(into, "{FORMAT} {key} {} {} {has_key}", link.position, link.at.as_ms());
    let repeated = repeat.iter().flat_map(|repeat| [repeat.key, repeat.body]);
    for digest in [link.previous, link.body].into_iter().chain(repeated) {
        into.extend_from_slice(digest.as_bytes());
    }
    into.extend_from_slice(change);
}

/// What the script gave for one entry: its name, the entry, its body.
pub(super) fn outbox_entry(
    found: Value,
    ticket: impl FnOnce(&Value) -> Result<EntryId, RedisError>,
) -> Result<OutboxEntry, RedisError> {
    let Value::Array(parts) = found else { return Err(RedisError::protocol()) };
    let [name, entry, body]: [Value; 3] = parts.try_into().map_err(|_| RedisError::protocol())?;
    let packed: Bytes = entry.convert().map_err(|_| RedisError::protocol())?;
    let entry = unpacked(&packed, bytes_or_none(body)?).ok_or_else(RedisError::protocol)?;
    Ok(OutboxEntry { id: ticket(&name)?, entry: Arc::new(entry) })
}

fn bytes_or_none(value: Value) -> Result<Option<Bytes>, RedisError> {
    match value {
        Value::Null => Ok(None),
        value => value.convert().map(Some).map_err(|_| RedisError::protocol()),
    }
}

fn unpacked(packed: &Bytes, body: Option<Bytes>) -> Option<Entry> {
    let end = packed.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(&packed[..end]).ok()?.split(' ');
    if words.next()? != FORMAT {
        return None;
    }
    let key = keys::session(words.next()?)?;
    let position = words.next()?.parse().ok()?;
    let at = Timestamp::from_ms(words.next()?.parse().ok()?);
    let has_key = words.next()? == "1";
    let mut rest = packed.slice(end + 1..);
    let mut digest = || {
        let digest = Digest::from_slice(rest.get(..DIGEST_BYTES)?).ok();
        rest = rest.slice(DIGEST_BYTES..);
        digest
    };
    let link = Link { position, at, previous: digest()?, body: digest()? };
    let repeat = if has_key { Some(IdempotencyKey { key: digest()?, body: digest()? }) } else { None };
    Some(Entry { key, link, body, change: rest, idempotency: repeat })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{SessionId, SessionKey, TenantId};
    use crate::domain::position::Position;

    fn entry(repeat: Option<IdempotencyKey>) -> Entry {
        let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a:1").unwrap() };
        let position = Position { epoch: 5, version: 7 };
        let digest = |text: &str| Digest::of(text.as_bytes());
        let link = Link { position, at: Timestamp::from_ms(9), previous: digest("one"), body: digest("two") };
        Entry {
            key,
            link,
            body: Some(Bytes::from_static(b"{}")),
            change: Bytes::from_static(b"a\nb"),
            idempotency: repeat,
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_and_nothing_else_is() {
        let repeat = IdempotencyKey { key: Digest::of(b"key"), body: Digest::of(b"with") };
        for entry in [entry(None), entry(Some(repeat))] {
            let mut packed = Vec::new();
            pack(&entry, &mut packed);
            let packed = Bytes::from(packed);
            assert_eq!(unpacked(&packed, entry.body.clone()), Some(entry));
            for length in 0..packed.len() - 3 {
                assert_eq!(unpacked(&packed.slice(..length), None), None, "{length}");
            }
        }
        assert_eq!(unpacked(&Bytes::from_static(b"2 acme/a what ever\n"), None), None);
    }

    #[test]
    fn the_golden_entry_is_read_and_written_again() {
        let key = IdempotencyKey { key: Digest::of(b"key"), body: Digest::of(b"with") };
        let entry = entry(Some(key));
        let mut packed = Vec::new();
        pack(&entry, &mut packed);
        let hex = packed.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        testkit::golden::check("outbox-entry.hex", &format!("{hex}\n"));
        let golden = testkit::golden::read("outbox-entry.hex");
        let digits = golden.trim().as_bytes().chunks(2).map(|digits| std::str::from_utf8(digits).unwrap());
        let golden: Vec<_> = digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
        assert_eq!(unpacked(&golden.into(), entry.body.clone()), Some(entry));
    }
}

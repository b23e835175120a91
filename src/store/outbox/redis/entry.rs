//! The stored form of an outbox entry: one field, `e`, of a stream.
//!
//! It is a line of words, `<format> <session> <position> <instant> <1 with an idempotency
//! key, else 0>`. Then digests of 32 bytes each: of the previous link, of the body and, with
//! a key, of the key and of its request. Then the change. The body is stored elsewhere, so
//! that it can be shed alone.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value;

use super::super::{EntryId, OutboxEntry};
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::time::Timestamp;
use crate::redis::RedisError;
use crate::store::keys;

/// The format that this build writes, and the only one it reads.
const FORMAT: &str = "1";

const DIGEST_BYTES: usize = 32;

/// Writes the stored form of an entry, without its body.
pub fn pack(entry: &Entry, into: &mut Vec<u8>) {
    let Entry { key, link, change, idempotency: repeat, .. } = entry;
    let has_key = u8::from(repeat.is_some());
    // Into memory: it cannot fail.
    let _ = writeln!(into, "{FORMAT} {key} {} {} {has_key}", link.position, link.at.as_ms());
    let idempotency = repeat.iter().flat_map(|repeat| [repeat.key, repeat.body]);
    for digest in [link.previous, link.body].into_iter().chain(idempotency) {
        into.extend_from_slice(digest.as_bytes());
    }
    into.extend_from_slice(change);
}

/// An entry of the script's reply: its name, the entry, its body.
pub(super) fn outbox_entry(
    part: Value,
    entry_id: impl FnOnce(&Value) -> Result<EntryId, RedisError>,
) -> Result<OutboxEntry, RedisError> {
    let Value::Array(parts) = part else { return Err(RedisError::protocol()) };
    let [name, entry, body]: [Value; 3] = parts.try_into().map_err(|_| RedisError::protocol())?;
    let packed: Bytes = entry.convert().map_err(|_| RedisError::protocol())?;
    let entry = unpack(&packed, bytes_or_none(body)?).ok_or_else(RedisError::protocol)?;
    Ok(OutboxEntry { id: entry_id(&name)?, entry: Arc::new(entry) })
}

fn bytes_or_none(value: Value) -> Result<Option<Bytes>, RedisError> {
    match value {
        Value::Null => Ok(None),
        value => value.convert().map(Some).map_err(|_| RedisError::protocol()),
    }
}

fn unpack(packed: &Bytes, body: Option<Bytes>) -> Option<Entry> {
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
    fn only_a_whole_packed_entry_is_unpacked() {
        let repeat = IdempotencyKey { key: Digest::of(b"key"), body: Digest::of(b"with") };
        for entry in [entry(None), entry(Some(repeat))] {
            let mut packed = Vec::new();
            pack(&entry, &mut packed);
            let packed = Bytes::from(packed);
            assert_eq!(unpack(&packed, entry.body.clone()), Some(entry));
            for length in 0..packed.len() - 3 {
                assert_eq!(unpack(&packed.slice(..length), None), None, "{length}");
            }
        }
        assert_eq!(unpack(&Bytes::from_static(b"2 acme/a what ever\n"), None), None);
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
        assert_eq!(unpack(&golden.into(), entry.body.clone()), Some(entry));
    }
}

//! Instants on the wire: RFC 3339, UTC, milliseconds.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::domain::time::Timestamp;

/// A timestamp as the wire writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub Timestamp);

/// Reads an RFC 3339 text of any offset, floored to whole milliseconds.
pub fn parse(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let ms = at.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(ms).ok().map(Timestamp::from_ms)
}

/// As in HTTP's `Date` (RFC 9110, section 5.6.7).
pub fn http_date(at: Timestamp) -> String {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    // Every part of it is there.
    dated(at).format(FORM).unwrap_or_default()
}

/// An instant past the year 9999 is written as its end.
fn dated(at: Timestamp) -> OffsetDateTime {
    const LAST_MS: i64 = 253_402_300_799_999;
    let ms = at.as_ms().clamp(0, LAST_MS);
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn digits(into: &mut [u8], mut value: u32) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `2026-01-01T00:00:00.000Z` without an allocation: every snapshot has several.
fn written(at: Timestamp) -> [u8; 24] {
    let at = dated(at);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], at.year().unsigned_abs());
    digits(&mut text[5..7], u8::from(at.month()).into());
    digits(&mut text[8..10], at.day().into());
    digits(&mut text[11..13], at.hour().into());
    digits(&mut text[14..16], at.minute().into());
    digits(&mut text[17..19], at.second().into());
    digits(&mut text[20..23], at.millisecond().into());
    text
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&written(self.0)).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = written(self.0);
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Instant;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 instant, or milliseconds since the Unix epoch")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Instant, E> {
                parse(text)
                    .map(Instant)
                    .ok_or_else(|| E::custom("must be an RFC 3339 instant such as 2026-01-01T00:00:00.000Z"))
            }
            fn visit_i64<E: serde::de::Error>(self, ms: i64) -> Result<Instant, E> {
                Ok(Instant(Timestamp::from_ms(ms)))
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Instant, E> {
                i64::try_from(ms)
                    .map_err(|_| E::custom("must be at most 9223372036854775807 milliseconds since 1970"))
                    .and_then(|ms| self.visit_i64(ms))
            }
        }
        deserializer.deserialize_any(Text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_with_milliseconds_and_read_back() {
        let at = Timestamp::from_ms(1_767_225_600_123);
        assert_eq!(Instant(at).to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(parse("2026-01-01T01:00:00.123999+01:00"), Some(at));
        assert_eq!(parse("2026-01-01"), None);
        assert_eq!(http_date(at), "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(Instant(Timestamp::NEVER).to_string(), "9999-12-31T23:59:59.999Z");
    }
}

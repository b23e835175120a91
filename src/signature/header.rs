//! The header `Signature: t=<ms>,nonce=<text>,v1=<base64url>`.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::time::Timestamp;

/// A longer header is not read.
const MAX_HEADER_BYTES: usize = 512;

const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// Why a text is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaim {
    /// A part is missing, or stands twice.
    #[error("a signature is written t=<ms>,nonce=<nonce>,v1=<base64url>, each once")]
    Form,
    /// The instant is none.
    #[error("t must be milliseconds since 1970, as a whole number")]
    Instant,
    /// The nonce is none.
    #[error("nonce must be 16 to 64 characters of A-Z a-z 0-9 _ -")]
    Nonce,
    /// The HMAC is none.
    #[error("v1 must be 32 bytes in base64url without padding")]
    Hmac,
}

/// What a signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureClaim {
    /// When it was made, by its maker's clock.
    pub at: Timestamp,
    /// What makes it unlike every other of its maker.
    pub nonce: String,
    /// The HMAC.
    pub hmac: [u8; 32],
}

impl FromStr for SignatureClaim {
    type Err = InvalidClaim;

    /// Parts of other names are for later forms, and are skipped.
    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        if text.len() > MAX_HEADER_BYTES {
            return Err(InvalidClaim::Form);
        }
        let (at, nonce, hmac) = (part(text, "t")?, part(text, "nonce")?, part(text, "v1")?);
        let is_number = !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
        let ms = at.parse().ok().filter(|_| is_number).ok_or(InvalidClaim::Instant)?;
        let is_nonce = NONCE_LENGTHS.contains(&nonce.len())
            && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !is_nonce {
            return Err(InvalidClaim::Nonce);
        }
        let hmac = URL_SAFE_NO_PAD.decode(hmac).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self { at: Timestamp::from_ms(ms), nonce: nonce.to_owned(), hmac: hmac.ok_or(InvalidClaim::Hmac)? })
    }
}

/// The part of that name, which stands once.
fn part<'a>(text: &'a str, name: &str) -> Result<&'a str, InvalidClaim> {
    let value = |part: &'a str| part.trim().strip_prefix(name)?.strip_prefix('=');
    let mut values = text.split(',').filter_map(value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(InvalidClaim::Form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HMAC: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn read(text: &str) -> Result<SignatureClaim, InvalidClaim> {
        text.replace("HMAC", HMAC).parse()
    }

    #[test]
    fn a_signature_is_read_in_any_order() {
        let expected = SignatureClaim {
            at: Timestamp::from_ms(1_767_225_600_000),
            nonce: "abcdefghij-_0123".into(),
            hmac: [0; 32],
        };
        for text in [
            "t=1767225600000,nonce=abcdefghij-_0123,v1=HMAC",
            "v1=HMAC, nonce=abcdefghij-_0123 , t=1767225600000",
            "t=1767225600000,nonce=abcdefghij-_0123,v1=HMAC,v2=later",
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_signature_is_refused_and_told_why() {
        let long = format!("t=1,nonce=abcdefghij-_0123,v1=HMAC,x={}", "x".repeat(600));
        let short = "t=1,nonce=abcdefghij-_012,v1=HMAC";
        for (text, why) in [
            ("", InvalidClaim::Form),
            ("sig1=:MEUCIQ==:", InvalidClaim::Form),
            ("t=1,nonce=abcdefghij-_0123", InvalidClaim::Form),
            ("t=1,t=1,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Form),
            ("T=1,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Form),
            (long.as_str(), InvalidClaim::Form),
            ("t=,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Instant),
            ("t=-1,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Instant),
            ("t=+1,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Instant),
            ("t=1.5,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Instant),
            ("t=99999999999999999999,nonce=abcdefghij-_0123,v1=HMAC", InvalidClaim::Instant),
            (short, InvalidClaim::Nonce),
            ("t=1,nonce=abcdefghij _0123,v1=HMAC", InvalidClaim::Nonce),
            ("t=1,nonce=abcdefghij\n_0123,v1=HMAC", InvalidClaim::Nonce),
            ("t=1,nonce=abcdefghij-_0123,v1=", InvalidClaim::Hmac),
            ("t=1,nonce=abcdefghij-_0123,v1=HMAC=", InvalidClaim::Hmac),
            ("t=1,nonce=abcdefghij-_0123,v1=AAAA", InvalidClaim::Hmac),
        ] {
            assert_eq!(read(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn every_instant_that_can_be_written_is_read_without_overflow() {
        let claim = read(&format!("t={},nonce=abcdefghij-_0123,v1=HMAC", i64::MAX)).unwrap();
        assert_eq!(claim.at.as_ms(), i64::MAX);
    }
}

//! The form of a sealed JSON object: its last two members name the key and hold the HMAC.
//!
//! The HMAC is over the bytes before `,"hmac":`. So a client checks the text as it came: it
//! takes 54 bytes off the end, and neither parses nor writes anything anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The length of a key's id.
pub const KEY_ID_BYTES: usize = 11;

/// The length of an HMAC-SHA256, in base64url without padding.
const HMAC_BYTES: usize = 43;

const KEY_ID: &[u8] = br#","key_id":""#;
const HMAC: &[u8] = br#","hmac":""#;
const END: &[u8] = br#""}"#;

/// What stands after the bytes that the HMAC is over.
const TAIL: usize = HMAC.len() + HMAC_BYTES + END.len();

/// How much longer an object is with its seal.
pub const SEAL_BYTES: usize = KEY_ID.len() + KEY_ID_BYTES + 1 + TAIL - 1;

/// Writes `object`, a JSON object with at least one member, with its seal behind `out`. `sign`
/// gives the HMAC of the bytes it is handed.
pub fn write(out: &mut Vec<u8>, object: &[u8], key_id: &str, sign: impl FnOnce(&[u8]) -> [u8; 32]) {
    let start = out.len();
    out.reserve(object.len() + SEAL_BYTES);
    out.extend_from_slice(&object[..object.len().saturating_sub(1)]);
    out.extend_from_slice(KEY_ID);
    out.extend_from_slice(key_id.as_bytes());
    out.push(b'"');
    let hmac = URL_SAFE_NO_PAD.encode(sign(&out[start..]));
    out.extend_from_slice(HMAC);
    out.extend_from_slice(hmac.as_bytes());
    out.extend_from_slice(END);
}

/// Whether a frame is sealed. A frame without a seal ends with two braces.
pub fn is_sealed(frame: &[u8]) -> bool {
    frame.len() > SEAL_BYTES && frame.ends_with(END) && frame[frame.len() - TAIL..].starts_with(HMAC)
}

/// How long a frame is without its seal and its last brace.
pub fn inner_length(frame: &[u8]) -> usize {
    frame.len().saturating_sub(if is_sealed(frame) { SEAL_BYTES + 1 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(object: &str) -> String {
        let mut out = b"before".to_vec();
        write(&mut out, object.as_bytes(), "AAAAAAAAAAA", |signed| {
            assert!(signed.starts_with(b"{") && signed.ends_with(br#""key_id":"AAAAAAAAAAA""#));
            [0; 32]
        });
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn the_seal_is_the_last_member_and_comes_off_by_its_length() {
        let text = sealed(r#"{"a":{}}"#);
        assert_eq!(text, format!(r#"{{"a":{{}},"key_id":"AAAAAAAAAAA","hmac":"{}"}}"#, "A".repeat(43)));
        assert!(is_sealed(text.as_bytes()));
        assert_eq!(inner_length(text.as_bytes()), r#"{"a":{}"#.len());
        assert_eq!(text.len(), r#"{"a":{}}"#.len() + SEAL_BYTES);
    }

    #[test]
    fn what_only_looks_like_a_seal_is_none() {
        let hmac = "A".repeat(43);
        for text in [
            r#"{"a":{}}"#.to_owned(),
            String::new(),
            format!(r#"{{"payload":{{"key_id":"AAAAAAAAAAA","hmac":"{hmac}"}}}}"#),
            format!(r#","hmac":"{hmac}"}}"#),
        ] {
            assert!(!is_sealed(text.as_bytes()), "{text}");
        }
    }
}

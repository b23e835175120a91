//! From the names in a client's certificate to the caller it proves.
//!
//! One URI says who: `urn:synckairos:<tenant>:<role>:<sub>`, percent-encoded where a part
//! holds what a URI may not (RFC 8141). Whoever signed the certificate has seen to it.

use super::denied::Denied;
use crate::domain::id::TenantId;
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;

/// What such a name begins with, in any case.
const PREFIX: &str = "urn:synckairos:";

/// A subject is written into every change, so it is bounded.
const MAX_SUBJECT_BYTES: usize = 256;

/// What URIs hold as it is, in what stands between two colons.
const PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/";

/// The caller whom a certificate with these URIs proves, from `made` to `end`; none, if it
/// names no caller.
///
/// # Errors
/// It names several, or one that cannot be.
pub fn principal<'a>(
    uris: impl IntoIterator<Item = &'a str>,
    made: Timestamp,
    end: Timestamp,
) -> Result<Option<Principal>, Denied> {
    let mut names = uris.into_iter().filter_map(name);
    let Some(name) = names.next() else { return Ok(None) };
    if names.next().is_some() {
        return Err(Denied::AmbiguousCertificate);
    }
    named(name, made, end).map(Some).ok_or(Denied::AmbiguousCertificate)
}

/// What stands behind the prefix.
fn name(uri: &str) -> Option<&str> {
    let (prefix, name) = uri.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(name)
}

fn named(name: &str, made: Timestamp, end: Timestamp) -> Option<Principal> {
    let mut parts = name.splitn(3, ':');
    let mut part = || parts.next().and_then(decoded);
    let (tenant, role, subject) = (part()?, part()?, part()?);
    let is_fit = (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.chars().any(char::is_control);
    is_fit.then_some(Principal {
        tenant: TenantId::new(&tenant).ok()?,
        subject,
        role: Role::named(&role)?,
        participant_id: None,
        sessions: None,
        expires_at: Some(end),
        provenance: Provenance { issued_at: Some(made), certificate_end: Some(end), ..Provenance::default() },
    })
}

/// A part of a name without its percent-encoding.
fn decoded(part: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(part.len()), part.bytes());
    while let Some(byte) = bytes.next() {
        let is_plain = byte.is_ascii_alphanumeric() || PLAIN.contains(&byte);
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            byte if is_plain => byte,
            _ => return None,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: Timestamp = Timestamp::from_ms(1_000);
    const END: Timestamp = Timestamp::from_ms(2_000);

    fn proven(uris: &[&str]) -> Result<Option<(String, Role, String)>, Denied> {
        let principal = principal(uris.iter().copied(), MADE, END)?;
        Ok(principal.map(|it| {
            assert_eq!((it.expires_at, it.provenance.issued_at), (Some(END), Some(MADE)));
            (it.tenant.as_str().to_owned(), it.role, it.subject)
        }))
    }

    #[test]
    fn one_name_proves_a_caller() {
        for (uri, tenant, role, subject) in [
            ("urn:synckairos:acme:operator:robot-7", "acme", Role::Operator, "robot-7"),
            ("URN:SyncKairos:acme:viewer:a", "acme", Role::Viewer, "a"),
            ("urn:synckairos:a%3Ab:admin:x", "a:b", Role::Admin, "x"),
            ("urn:synckairos:acme:participant:service:robot", "acme", Role::Participant, "service:robot"),
            ("urn:synckairos:acme:operator:J%c3%bcrgen%20%25", "acme", Role::Operator, "J\u{fc}rgen %"),
            ("urn:synckairos:acme:operator:a@b.example/c", "acme", Role::Operator, "a@b.example/c"),
        ] {
            assert_eq!(proven(&[uri]), Ok(Some((tenant.into(), role, subject.into()))), "{uri}");
            assert!(proven(&["https://x.example", uri, "urn:uuid:x"]).unwrap().is_some(), "{uri}");
        }
    }

    #[test]
    fn other_names_prove_nobody() {
        for uris in [vec![], vec!["https://x.example"], vec!["urn:uuid:x", "spiffe://a/b"], vec!["urn:synckairo"]] {
            assert_eq!(proven(&uris), Ok(None), "{uris:?}");
        }
    }

    #[test]
    fn what_names_no_single_caller_is_refused() {
        let long = format!("urn:synckairos:acme:operator:{}", "s".repeat(257));
        for uris in [
            vec!["urn:synckairos:acme:operator:a", "urn:synckairos:acme:operator:b"],
            vec!["urn:synckairos:acme:operator:a", "urn:synckairos:acme:operator:a"],
            vec!["urn:synckairos:acme:operator:a", "urn:synckairos:"],
            vec!["urn:synckairos:"],
            vec!["urn:synckairos:acme:operator"],
            vec!["urn:synckairos:acme:operator:"],
            vec!["urn:synckairos::operator:a"],
            vec!["urn:synckairos:acme:root:a"],
            vec!["urn:synckairos:acme:Operator:a"],
            vec!["urn:synckairos:a%2Fb:operator:a"],
            vec!["urn:synckairos:acme:operator:a%0a"],
            vec!["urn:synckairos:acme:operator:a%00"],
            vec!["urn:synckairos:acme:operator:a%"],
            vec!["urn:synckairos:acme:operator:a%4"],
            vec!["urn:synckairos:acme:operator:%+4"],
            vec!["urn:synckairos:acme:operator:%ff"],
            vec!["urn:synckairos:acme:operator:a?+b"],
            vec!["urn:synckairos:acme:operator:a#b"],
            vec!["urn:synckairos:acme:operator:a b"],
            vec![long.as_str()],
        ] {
            assert_eq!(proven(&uris), Err(Denied::AmbiguousCertificate), "{uris:?}");
        }
    }
}

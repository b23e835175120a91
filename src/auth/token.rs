//! From a proven token's claims to a principal, and back.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::denied::Denied;
use super::jws;
use super::jws::Jws;
use super::key::Key;
use super::rules::TokenRules;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::principal::{KeyMark, Principal, Provenance, Role, is_valid_name};
use crate::domain::time::Timestamp;

/// A token and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The token's text.
    pub token: String,
    /// Its end, rounded down to the whole second that a token can say.
    pub expires_at: Timestamp,
}

/// The claims that we read. Other claims are for other services, as the standard says.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: TenantId,
    role: String,
    exp: f64,
    nbf: Option<f64>,
    iss: Option<Value>,
    aud: Option<Value>,
    participant_id: Option<ParticipantId>,
    /// `null` is no list: whoever wrote it meant none, and would get all.
    #[serde(default, deserialize_with = "list")]
    sessions: Option<BTreeSet<SessionId>>,
    locations: Option<BTreeSet<String>>,
    iat: Option<f64>,
    jti: Option<String>,
    made_by: Option<String>,
    participant_seat: Option<u64>,
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeSet<SessionId>>, D::Error> {
    BTreeSet::deserialize(deserializer).map(Some)
}

/// The claims that we write.
#[derive(Serialize)]
struct WrittenClaims<'a> {
    sub: &'a str,
    tenant: &'a TenantId,
    role: &'static str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_id: &'a Option<ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant_seat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: &'a Option<BTreeSet<SessionId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locations: &'a Option<BTreeSet<String>>,
}

/// Who `token` proves at `now`. `key` has signed it.
pub(super) fn principal(token: &Jws<'_>, key: &Key, rules: &TokenRules, now: Timestamp) -> Result<Principal, Denied> {
    let claims: Claims = token.claims()?;
    let end = check_span(&claims, rules, now)?;
    if !rules.accepts_issuer(claims.iss.as_ref()) || !rules.accepts_audience(claims.aud.as_ref()) {
        return Err(Denied::Elsewhere);
    }
    proven(claims, end, key.mark())
}

/// When a token ends that counts at `now`.
fn check_span(claims: &Claims, rules: &TokenRules, now: Timestamp) -> Result<Timestamp, Denied> {
    let end = instant(claims.exp)?;
    if now >= end {
        return Err(Denied::Expired);
    }
    let (start, issued_at) = (claims.nbf.map(instant).transpose()?, claims.iat.map(instant).transpose()?);
    // One that was made in the future would outlive every bound, and every revocation of what was made until now.
    if [start, issued_at].into_iter().flatten().any(|at| !rules.has_begun(at, now)) {
        return Err(Denied::Early);
    }
    if !rules.is_short_lived(issued_at, end, now) {
        return Err(Denied::TooLong);
    }
    Ok(end)
}

/// An instant as tokens say it: seconds, perhaps with a fraction.
fn instant(seconds: f64) -> Result<Timestamp, Denied> {
    let since_unix = Duration::try_from_secs_f64(seconds).map_err(|_| Denied::Invalid)?;
    i64::try_from(since_unix.as_millis()).map(Timestamp::from_ms).map_err(|_| Denied::Invalid)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a float's 53 bits")]
fn seconds(at: Timestamp) -> f64 {
    at.as_ms() as f64 / 1_000.0
}

/// Names and ids of tokens are written into the history, so each must show as what it is.
fn proven(claims: Claims, end: Timestamp, key: KeyMark) -> Result<Principal, Denied> {
    let names = [Some(&claims.sub), claims.jti.as_ref(), claims.made_by.as_ref()];
    if !names.into_iter().flatten().all(|name| is_valid_name(name)) {
        return Err(Denied::Invalid);
    }
    Ok(Principal {
        tenant: claims.tenant,
        subject: claims.sub,
        role: Role::named(&claims.role).ok_or(Denied::Invalid)?,
        participant_id: claims.participant_id,
        sessions: claims.sessions,
        locations: claims.locations,
        expires_at: Some(end),
        provenance: Provenance {
            token_id: claims.jti,
            issued_at: claims.iat.map(instant).transpose()?,
            made_by: claims.made_by,
            seat: claims.participant_seat,
            key: Some(key),
        },
    })
}

/// A token that proves `principal` until the whole second of `expires_at`, and that our own rules accept.
pub(super) fn sign(principal: &Principal, expires_at: Timestamp, key: &Key, rules: &TokenRules) -> Option<Signed> {
    let exp = expires_at.as_ms().div_euclid(1_000);
    let Provenance { token_id, issued_at, made_by, seat, .. } = &principal.provenance;
    let written = WrittenClaims {
        sub: &principal.subject,
        tenant: &principal.tenant,
        role: principal.role.as_str(),
        exp,
        iss: rules.issuers.first(),
        aud: rules.audiences.first(),
        iat: issued_at.map(seconds),
        jti: token_id,
        made_by,
        participant_seat: *seat,
        participant_id: &principal.participant_id,
        sessions: &principal.sessions,
        locations: &principal.locations,
    };
    let token = jws::sign(&serde_json::to_vec(&written).ok()?, key)?;
    Some(Signed { token, expires_at: Timestamp::from_ms(exp.saturating_mul(1_000)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"a key of thirty-two bytes or more";
    const NOW: Timestamp = Timestamp::from_ms(1_000_500);

    fn key() -> Key {
        Key::secret(SECRET).unwrap()
    }

    fn by_rules(rules: &TokenRules, change: &Value) -> Result<Principal, Denied> {
        let mut claims = json!({"sub": "s", "tenant": "t", "role": "viewer", "exp": 1001});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = jws::sign(claims.to_string().as_bytes(), &key()).unwrap();
        principal(&Jws::read(&token)?, &key(), rules, NOW)
    }

    fn with(change: &Value) -> Result<Principal, Denied> {
        by_rules(&TokenRules { leeway_ms: 0, ..TokenRules::default() }, change)
    }

    #[test]
    fn claims_become_a_principal() {
        let all = json!({
            "role": "participant", "participant_id": "white", "sessions": ["b", "a"], "nbf": 1000.5,
            "iss": "them", "aud": ["us"], "locations": ["x"], "exp": 1000.75, "colour": "blue",
        });
        let principal = with(&all).unwrap();
        assert_eq!((principal.subject.as_str(), principal.role), ("s", Role::Participant));
        assert_eq!(principal.participant_id, ParticipantId::new("white").ok());
        assert_eq!(principal.sessions.unwrap().len(), 2);
        assert_eq!(principal.locations, Some(BTreeSet::from(["x".to_owned()])));
        assert_eq!(principal.expires_at, Some(Timestamp::from_ms(1_000_750)));
        assert_eq!(principal.provenance.key, Some(key().mark()));
    }

    #[test]
    fn the_end_and_the_beginning_are_exact() {
        assert!(with(&json!({"exp": 1000.501})).is_ok());
        assert_eq!(with(&json!({"exp": 1000.5})), Err(Denied::Expired));
        assert_eq!(with(&json!({"exp": 1000})), Err(Denied::Expired));
        assert!(with(&json!({"nbf": 1000.5})).is_ok());
        assert_eq!(with(&json!({"nbf": 1001})), Err(Denied::Early));
    }

    #[test]
    fn a_beginning_has_leeway_and_an_end_has_none() {
        let rules = TokenRules::default();
        for name in ["nbf", "iat"] {
            assert!(by_rules(&rules, &json!({name: 1005.5, "exp": 1010})).is_ok(), "{name}");
            assert_eq!(by_rules(&rules, &json!({name: 1005.501, "exp": 1010})), Err(Denied::Early), "{name}");
        }
        assert_eq!(by_rules(&rules, &json!({"exp": 1000.5})), Err(Denied::Expired));
    }

    #[test]
    fn a_token_lives_for_a_day_at_most() {
        for (change, is_accepted) in [
            (json!({"exp": 1000.5 + 86_400.0}), true),
            (json!({"exp": 1000.501 + 86_400.0}), false),
            (json!({"exp": 1_000_000 + 86_400, "iat": 1_000_000}), false),
            (json!({"exp": 1_000 + 86_400, "iat": 1_000}), true),
            (json!({"exp": 1_001 + 86_400, "iat": 1_000}), false),
            (json!({"exp": 9e15}), false),
            (json!({"exp": 1e10}), false),
        ] {
            let proven = with(&change);
            assert_eq!(proven.is_ok(), is_accepted, "{change}: {proven:?}");
        }
        assert_eq!(with(&json!({"exp": 1e10})), Err(Denied::TooLong));
    }

    #[test]
    fn what_is_for_another_service_is_refused() {
        let rules = TokenRules {
            issuers: vec!["us".into()],
            audiences: vec!["timers".into(), "clock".into()],
            ..TokenRules::default()
        };
        assert!(by_rules(&rules, &json!({"iss": "us", "aud": ["x", "clock"]})).is_ok());
        for change in [
            json!({}),
            json!({"iss": "us"}),
            json!({"aud": "timers"}),
            json!({"iss": "them", "aud": "timers"}),
            json!({"iss": ["us"], "aud": "timers"}),
            json!({"iss": "us", "aud": "Timers"}),
        ] {
            assert_eq!(by_rules(&rules, &change), Err(Denied::Elsewhere), "{change}");
        }
    }

    #[test]
    fn what_we_sign_we_accept() {
        let rules =
            TokenRules { issuers: vec!["us".into()], audiences: vec!["timers".into()], ..TokenRules::default() };
        let mut asked = by_rules(&TokenRules::default(), &json!({"sessions": ["a"], "jti": "x", "iat": 1000})).unwrap();
        let signed = sign(&asked, Timestamp::from_ms(1_001_999), &key(), &rules).unwrap();
        asked.expires_at = Some(signed.expires_at);
        assert_eq!(principal(&Jws::read(&signed.token).unwrap(), &key(), &rules, NOW), Ok(asked));
    }

    #[test]
    fn every_wrong_claim_is_invalid() {
        for change in [
            json!({"sub": null}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "s".repeat(257)}),
            json!({"sub": "a\nb"}),
            json!({"sub": "a\u{202e}b"}),
            json!({"made_by": "a\u{0}"}),
            json!({"jti": "j".repeat(257)}),
            json!({"tenant": null}),
            json!({"tenant": "a/b"}),
            json!({"role": "root"}),
            json!({"role": null}),
            json!({"exp": null}),
            json!({"exp": "1001"}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"nbf": "x"}),
            json!({"iat": "x"}),
            json!({"participant_id": ""}),
            json!({"sessions": "a"}),
            json!({"sessions": null}),
            json!({"sessions": ["a/b"]}),
            json!({"locations": "x"}),
            json!({"locations": [7]}),
        ] {
            assert_eq!(with(&change), Err(Denied::Invalid), "{change}");
        }
        let list = jws::sign(br#"["s", "t", "viewer", 1001]"#, &key()).unwrap();
        let list = principal(&Jws::read(&list).unwrap(), &key(), &TokenRules::default(), NOW);
        assert_eq!(list, Err(Denied::Invalid));
    }
}

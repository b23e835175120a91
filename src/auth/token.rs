//! A JSON Web Token, HS256 and nothing else, to a principal and back.

use std::collections::BTreeSet;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::denied::Denied;
use crate::domain::id::{ParticipantId, SessionId, TenantId};
use crate::domain::principal::{Principal, Provenance, Role};
use crate::domain::time::Timestamp;

/// A subject is written into every change, so it is bounded.
const MAX_SUBJECT_BYTES: usize = 256;

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
    participant_id: Option<ParticipantId>,
    sessions: Option<BTreeSet<SessionId>>,
    iat: Option<f64>,
    jti: Option<String>,
    made_by: Option<String>,
    participant_seat: Option<u64>,
}

/// The claims that we write.
#[derive(Serialize)]
struct WrittenClaims<'a> {
    sub: &'a str,
    tenant: &'a TenantId,
    role: &'static str,
    exp: i64,
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
}

/// Who `token` proves at `now`.
pub(super) fn verify(token: &str, key: &DecodingKey, now: Timestamp) -> Result<Principal, Denied> {
    let token = decode::<Claims>(token, key, &signature_only()).map_err(|_| Denied::Invalid)?;
    // An extension that must be understood, and is not.
    if token.header.crit.is_some() {
        return Err(Denied::Invalid);
    }
    let claims = token.claims;
    let end = instant(claims.exp)?;
    if now >= end {
        return Err(Denied::Expired);
    }
    if let Some(start) = claims.nbf.map(instant).transpose()?
        && now < start
    {
        return Err(Denied::Invalid);
    }
    principal(claims, end)
}

/// The library would judge `exp` and `nbf` by the host's clock, so we do, by ours.
/// No setting names an audience or issuer, so neither can be judged.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
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

fn principal(claims: Claims, end: Timestamp) -> Result<Principal, Denied> {
    if claims.sub.is_empty() || claims.sub.len() > MAX_SUBJECT_BYTES {
        return Err(Denied::Invalid);
    }
    Ok(Principal {
        tenant: claims.tenant,
        subject: claims.sub,
        role: Role::named(&claims.role).ok_or(Denied::Invalid)?,
        participant_id: claims.participant_id,
        sessions: claims.sessions,
        expires_at: Some(end),
        provenance: Provenance {
            token_id: claims.jti,
            issued_at: claims.iat.map(instant).transpose()?,
            made_by: claims.made_by,
            seat: claims.participant_seat,
            certificate_end: None,
        },
    })
}

/// A token that proves `principal` until the whole second of `expires_at`.
pub(super) fn sign(principal: &Principal, expires_at: Timestamp, key: &EncodingKey) -> Option<Signed> {
    let exp = expires_at.as_ms().div_euclid(1_000);
    let Provenance { token_id, issued_at, made_by, seat, .. } = &principal.provenance;
    let written = WrittenClaims {
        sub: &principal.subject,
        tenant: &principal.tenant,
        role: principal.role.as_str(),
        exp,
        iat: issued_at.map(seconds),
        jti: token_id,
        made_by,
        participant_seat: *seat,
        participant_id: &principal.participant_id,
        sessions: &principal.sessions,
    };
    let token = encode(&Header::new(Algorithm::HS256), &written, key).ok()?;
    Some(Signed { token, expires_at: Timestamp::from_ms(exp.saturating_mul(1_000)) })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a key of thirty-two bytes or more";
    const NOW: Timestamp = Timestamp::from_ms(1_000_500);

    fn with_header(header: &Header, claims: &Value) -> Result<Principal, Denied> {
        let token = encode(header, claims, &EncodingKey::from_secret(SECRET)).unwrap();
        verify(&token, &DecodingKey::from_secret(SECRET), NOW)
    }

    fn with(change: &Value) -> Result<Principal, Denied> {
        let mut claims = json!({"sub": "s", "tenant": "t", "role": "viewer", "exp": 1001});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        with_header(&Header::new(Algorithm::HS256), &claims)
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
        assert_eq!(principal.expires_at, Some(Timestamp::from_ms(1_000_750)));
    }

    #[test]
    fn the_end_and_the_beginning_are_exact() {
        assert!(with(&json!({"exp": 1000.501})).is_ok());
        assert_eq!(with(&json!({"exp": 1000.5})), Err(Denied::Expired));
        assert_eq!(with(&json!({"exp": 1000})), Err(Denied::Expired));
        assert!(with(&json!({"nbf": 1000.5})).is_ok());
        assert_eq!(with(&json!({"nbf": 1001})), Err(Denied::Invalid));
    }

    #[test]
    fn every_wrong_claim_is_invalid() {
        for change in [
            json!({"sub": null}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "s".repeat(257)}),
            json!({"tenant": null}),
            json!({"tenant": "a/b"}),
            json!({"role": "root"}),
            json!({"role": null}),
            json!({"exp": null}),
            json!({"exp": "1001"}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"nbf": "x"}),
            json!({"participant_id": ""}),
            json!({"sessions": "a"}),
            json!({"sessions": ["a/b"]}),
        ] {
            assert_eq!(with(&change), Err(Denied::Invalid), "{change}");
        }
    }

    #[test]
    fn the_algorithm_is_ours_to_choose() {
        let claims = json!({"sub": "s", "tenant": "t", "role": "admin", "exp": 1001});
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(with_header(&Header::new(algorithm), &claims), Err(Denied::Invalid));
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims));
        assert_eq!(verify(&unsigned, &DecodingKey::from_secret(SECRET), NOW), Err(Denied::Invalid));
    }

    #[test]
    fn an_extension_that_must_be_understood_is_not() {
        let claims = json!({"sub": "s", "tenant": "t", "role": "admin", "exp": 1001});
        let header = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
        assert_eq!(with_header(&header, &claims), Err(Denied::Invalid));
    }
}

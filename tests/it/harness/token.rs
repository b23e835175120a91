//! Tokens, good and bad.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// What the clusters of the tests sign with.
pub const SECRET: &str = "the tests' own key, of more than thirty-two bytes";

/// Far later than any test's now.
const EXP: i64 = 4_000_000_000;

/// As long as a token may live in the tests: still clocks are moved far, and tokens are made once.
pub const TOKEN_LIFE: Duration = Duration::from_hours(24 * 365 * 75);

/// Claims that let in as `role` of `tenant`.
pub fn claims(tenant: &str, role: &str) -> Value {
    json!({"sub": format!("a-{role}"), "tenant": tenant, "role": role, "exp": EXP})
}

/// Signed as the service itself signs.
pub fn signed(claims: &Value) -> String {
    signed_by(SECRET, claims)
}

/// Signed with another key.
pub fn signed_by(secret: &str, claims: &Value) -> String {
    signed_under(secret, &json!({"typ": "JWT", "alg": "HS256"}), claims)
}

/// Under a header of its own, whatever that says.
pub fn signed_under(secret: &str, header: &Value, claims: &Value) -> String {
    signed_with(header, claims, |message| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message).as_ref().to_vec()
    })
}

/// The same, with any signature.
pub fn signed_with(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

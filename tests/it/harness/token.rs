//! Tokens, good and bad.

use serde_json::{Value, json};

/// What the clusters of the tests sign with.
pub const SECRET: &str = "the tests' own key, of more than thirty-two bytes";

/// Far later than any test's now.
const EXP: i64 = 4_000_000_000;

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
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

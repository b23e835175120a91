//! Tokens signed with the deployment's key.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use crate::clock;
use crate::failure::Failure;

/// Longer than any run.
const TTL_S: u64 = 8 * 24 * 3_600;

/// An operator's token for `tenant`, signed with HS256.
pub fn sign(secret: &str, tenant: &str) -> Result<String, Failure> {
    let exp = clock::wall_ns() / 1_000_000_000 + TTL_S;
    let claims = json!({"sub": "loadtest", "tenant": tenant, "role": "operator", "exp": exp});
    Ok(encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}

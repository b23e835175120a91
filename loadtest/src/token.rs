//! Tokens signed with the deployment's key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;

use crate::clock;

/// Just below the longest life that a service accepts by default.
const TTL_S: u64 = 24 * 3_600 - 60;

/// An operator's token for `tenant`, signed with HS256.
pub fn sign(secret: &str, tenant: &str) -> String {
    let now = clock::wall_ns() / 1_000_000_000;
    let claims = json!({"sub": "loadtest", "tenant": tenant, "role": "operator", "iat": now, "exp": now + TTL_S});
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

//! The key that belongs to a token, and what is signed with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Serialize;

use super::header::SignatureClaim;
use crate::domain::chain::Digest;
use crate::domain::id::TenantId;
use crate::domain::principal::Principal;
use crate::seal::SealSecret;

/// A command as its signature covers it.
#[derive(Debug, Clone, Copy)]
pub struct SignedContent<'a> {
    /// The method; `COMMAND` for a frame on a WebSocket.
    pub method: &'a str,
    /// The path with its query as the service was asked for it; of a frame its session.
    pub target: &'a str,
    /// The digest of the body; of a frame that of the text before its signature.
    pub body: Digest,
}

impl SignedContent<'_> {
    /// The text that the HMAC is over: five lines, the last without an end.
    pub fn text(&self, at_ms: i64, nonce: &str) -> String {
        let Self { method, target, body } = self;
        format!("{at_ms}\n{nonce}\n{method}\n{target}\n{}", URL_SAFE_NO_PAD.encode(body.as_bytes()))
    }
}

/// What a key is derived from, as a JSON list.
#[derive(Serialize)]
struct Info<'a>(&'static str, &'a TenantId, &'a str, Option<&'a str>, Option<&'a str>);

/// The key of one token.
#[derive(Debug)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// The key of the token that proves `by`: by its tenant, subject, maker and id.
    pub fn of(secret: &SealSecret, by: &Principal) -> Self {
        let (maker, id) = (by.provenance.made_by.as_deref(), by.provenance.token_id.as_deref());
        let info = Info("sign", &by.tenant, &by.subject, maker, id);
        // Texts, into memory: it always serialises.
        Self(secret.derive(&serde_json::to_vec(&info).unwrap_or_default()))
    }

    /// In base64url, as the token's bearer is told it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Whether the claim is over that command, by this key.
    pub fn verifies(&self, claim: &SignatureClaim, signed: SignedContent<'_>) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hmac::verify(&key, signed.text(claim.at.as_ms(), &claim.nonce).as_bytes(), &claim.hmac).is_ok()
    }
}

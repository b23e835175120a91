//! Seals and signatures as a client checks and makes them: by the documentation, not by our code.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use ring::{digest, hmac};
use serde_json::Value;
use synckairos::config::{Config, Secret};
use synckairos::domain::id::TenantId;

use super::cluster::TENANT;
use super::{Answer, Caller, Cluster, Session};

/// What the clusters of these tests derive keys from.
pub const SEAL_SECRET: &str = "the tests' own seal, of more than thirty-two bytes";

/// A setting for [`super::cluster::Plan::with`].
pub fn with_secret(config: &mut Config) {
    config.seal_secret = Secret::new(SEAL_SECRET);
}

/// Seals what the tests' tenant is told, on every instance.
pub fn seal(cluster: &Cluster, is_on: bool) {
    let tenant = TenantId::new(TENANT).unwrap();
    cluster.all_parts().iter().for_each(|parts| parts.switches.seal(&tenant, is_on));
}

/// Takes only signed commands of the tests' tenant, on every instance.
pub fn require_signatures(cluster: &Cluster, is_on: bool) {
    let tenant = TenantId::new(TENANT).unwrap();
    cluster.all_parts().iter().for_each(|parts| parts.switches.require_signatures(&tenant, is_on));
}

/// The keys a client holds, by their ids.
#[derive(Debug, Default, Clone)]
pub struct SealKeys(HashMap<String, Vec<u8>>);

impl SealKeys {
    /// Those of a session as it is now, and of its tenant.
    pub async fn of(caller: &Caller, session: &Session) -> Self {
        let mut keys = Self::default();
        keys.learn(caller, session).await;
        keys
    }

    /// Learns those of another session, or another epoch.
    pub async fn learn(&mut self, caller: &Caller, session: &Session) {
        let told = caller.get(format!("{}/seal-key", session.path())).await.expect(200);
        assert_eq!(told.headers["cache-control"], "no-store");
        self.add(&told.body);
        self.add(&told.body["tenant"]);
    }

    pub fn add(&mut self, told: &Value) {
        let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("{name} in {told}"));
        self.0.insert(text("key_id").to_owned(), URL_SAFE_NO_PAD.decode(text("key")).unwrap());
    }

    pub fn has(&self, key_id: &Value) -> bool {
        self.0.contains_key(key_id.as_str().unwrap())
    }

    /// Whether a text is as it was sealed. It is neither parsed for that nor written anew.
    pub fn verify(&self, text: &str) -> bool {
        const TAIL: usize = 54;
        let Some(at) = text.len().checked_sub(TAIL).filter(|at| text.is_char_boundary(*at)) else { return false };
        let (signed, tail) = text.split_at(at);
        let hmac = tail.strip_prefix(",\"hmac\":\"").and_then(|tail| tail.strip_suffix("\"}"));
        let Some(hmac) = hmac.and_then(|hmac| URL_SAFE_NO_PAD.decode(hmac).ok()) else { return false };
        let key_id = signed.rsplit_once(",\"key_id\":\"").and_then(|(_, id)| id.strip_suffix('"'));
        let Some(key) = key_id.and_then(|id| self.0.get(id)) else { return false };
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes(), &hmac).is_ok()
    }

    /// A text that was not changed, as JSON.
    pub fn checked(&self, text: &str) -> Value {
        assert!(self.verify(text), "not sealed as it should be: {text}");
        serde_json::from_str(text).unwrap()
    }
}

/// A caller that signs its commands.
#[derive(Debug, Clone)]
pub struct Signer {
    pub caller: Caller,
    key: Vec<u8>,
}

/// A nonce that no other call gives.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{:016}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Signer {
    /// With the key that the service tells the caller.
    pub async fn of(caller: Caller) -> Self {
        let told = caller.get("/v1/signing-key").await.expect(200).body;
        Self::with_key(caller, told["signing_key"].as_str().unwrap())
    }

    pub fn with_key(caller: Caller, key: &str) -> Self {
        Self { caller, key: URL_SAFE_NO_PAD.decode(key).unwrap() }
    }

    /// The same caller, who asks another instance.
    pub fn at(&self, caller: &Caller) -> Self {
        Self { caller: caller.clone(), key: self.key.clone() }
    }

    /// What a signature is over, signed.
    pub fn signature(&self, at_ms: i64, nonce: &str, method: &str, target: &str, body: &[u8]) -> String {
        let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, body));
        let text = format!("{at_ms}\n{nonce}\n{method}\n{target}\n{digest}");
        let hmac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.key), text.as_bytes());
        format!("t={at_ms},nonce={nonce},v1={}", URL_SAFE_NO_PAD.encode(hmac))
    }

    /// Sends a command with that signature.
    pub async fn send(&self, method: Method, target: &str, body: &str, signature: &str) -> Answer {
        self.caller.asking(method, target).bytes(body.to_owned()).header("signature", signature).send().await
    }

    /// Signs a command as it should be, and sends it.
    pub async fn post(&self, at_ms: i64, target: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let signature = self.signature(at_ms, &nonce(), "POST", target, body.as_bytes());
        self.send(Method::POST, target, &body, &signature).await
    }

    /// A command's frame, signed.
    pub fn frame(&self, at_ms: i64, nonce: &str, session: &str, frame: &Value) -> String {
        let text = frame.to_string();
        let before = &text[..text.len() - 1];
        let signature = self.signature(at_ms, nonce, "COMMAND", session, before.as_bytes());
        format!("{before},\"signature\":\"{signature}\"}}")
    }
}

//! Tokens where requests carry them: nothing proves anybody but what was signed with the key, by its algorithm.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{Request, Uri};
use ring::hmac;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::first;
use crate::auth::Authenticator;
use crate::domain::time::Timestamp;
use crate::http::auth::{self, TokenSources};

const SECRET: &[u8] = b"the fixed secret of every run that looks for faults";

/// When the tokens are judged.
const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| Authenticator::new(Some(SECRET)).expect("there is a secret"));

static KEY: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, SECRET));

/// The first byte says what the rest is: what a request carries, in one of three places, or a header, a line end and
/// claims, which are signed here so that they are read.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = first(input) else { return };
    let parts = match choice % 4 {
        0 => with_header(AUTHORIZATION, rest),
        1 => with_header(SEC_WEBSOCKET_PROTOCOL, rest),
        2 => in_query(rest),
        _ => with_header(AUTHORIZATION, format!("Bearer {}", signed(rest)).as_bytes()),
    };
    let Some(parts) = parts else { return };
    let Ok(Some(token)) = auth::token(&parts, TokenSources::Stream) else { return };
    let Ok(principal) = AUTHENTICATOR.authenticate(Some(token), NOW) else { return };
    let claims = proven(token).expect("nobody signed what is believed");
    assert_eq!(claims.sub, principal.subject, "another subject than was signed");
    assert_eq!(claims.tenant, principal.tenant.as_str(), "another tenant than was signed");
    assert_eq!(claims.role, principal.role.as_str(), "another role than was signed");
    assert!(principal.expires_at.is_some_and(|end| end > NOW), "believed after its end");
}

fn with_header(name: HeaderName, value: &[u8]) -> Option<Parts> {
    let request = Request::get("/").header(UPGRADE, "websocket").header(name, HeaderValue::from_bytes(value).ok()?);
    Some(request.body(()).ok()?.into_parts().0)
}

fn in_query(query: &[u8]) -> Option<Parts> {
    let uri: Uri = [b"/?".as_slice(), query].concat().try_into().ok()?;
    Some(Request::get(uri).body(()).ok()?.into_parts().0)
}

fn signed(header_and_claims: &[u8]) -> String {
    let mut parts = header_and_claims.splitn(2, |byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{}.{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&KEY, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// What a header says of its key. Other members are for others, whatever stands in them.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<IgnoredAny>,
}

/// Whom claims name.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: String,
    role: String,
}

/// The claims, if this is a token that the key signed, by HMAC with SHA-256.
fn proven(token: &str) -> Option<Claims> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    hmac::verify(&KEY, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let header: Header = read(header)?;
    if header.alg == "HS256" && header.crit.is_none() { read(claims) } else { None }
}

fn read<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

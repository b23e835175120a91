//! Which commands pass, and which do not, by the clock and the nonces of one process.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::*;
use crate::clock::ManualClock;
use crate::domain::id::TenantId;
use crate::domain::principal::{Provenance, Role};
use crate::seal::Switches;

const NOW_MS: i64 = 1_767_225_600_000;
const NONCE: &str = "a-nonce-of-20-letters";

struct House {
    signatures: Signatures,
    clock: Arc<ManualClock>,
    switches: Arc<Switches>,
}

fn house(secret: Option<&[u8]>) -> House {
    let (clock, switches) = (Arc::new(ManualClock::at(Timestamp::from_ms(NOW_MS))), Arc::new(Switches::default()));
    let nonces = Arc::new(MemoryNonces::default());
    let policy = Arc::clone(&switches) as _;
    let signatures = Signatures::new(secret.map(SealSecret::new), policy, nonces, Arc::clone(&clock) as _);
    House { signatures, clock, switches }
}

fn principal(subject: &str, token_id: &str) -> Principal {
    Principal {
        tenant: TenantId::new("acme").unwrap(),
        subject: subject.to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        expires_at: None,
        provenance: Provenance { token_id: Some(token_id.to_owned()), ..Provenance::default() },
    }
}

fn signed(target: &str) -> SignedContent<'_> {
    SignedContent { method: "POST", target, body: Digest::of(b"{}") }
}

fn header(key: &SigningKey, of: SignedContent<'_>, at_ms: i64, nonce: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &URL_SAFE_NO_PAD.decode(key.text()).unwrap());
    let hmac = hmac::sign(&key, of.text(at_ms, nonce).as_bytes());
    format!("t={at_ms},nonce={nonce},v1={}", URL_SAFE_NO_PAD.encode(hmac))
}

impl House {
    async fn send(&self, by: &Principal, header: &str, of: SignedContent<'_>) -> Result<(), SignatureError> {
        match self.signatures.claim(by, Some(header))? {
            Some(claim) => self.signatures.check(by, &claim, of).await,
            None => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_signature_passes_once_and_for_its_own_command_alone() {
    let house = house(Some(&[1; 32]));
    let by = principal("s", "1");
    let key = house.signatures.key(&by).unwrap();
    let good = header(&key, signed("/v1/a"), NOW_MS, NONCE);
    for of in [
        signed("/v1/b"),
        signed("/v1/a?x"),
        SignedContent { method: "DELETE", ..signed("/v1/a") },
        SignedContent { body: Digest::of(b"{ }"), ..signed("/v1/a") },
    ] {
        assert_eq!(house.send(&by, &good, of).await, Err(SignatureError::Wrong), "{of:?}");
    }
    assert_eq!(house.send(&by, &good, signed("/v1/a")).await, Ok(()), "what was refused has used no nonce");
    assert_eq!(house.send(&by, &good, signed("/v1/a")).await, Err(SignatureError::Replayed));
    let other = header(&key, signed("/v1/b"), NOW_MS, NONCE);
    assert_eq!(
        house.send(&by, &other, signed("/v1/b")).await,
        Err(SignatureError::Replayed),
        "the nonce is the caller's"
    );
}

#[tokio::test]
async fn another_token_has_another_key_and_another_caller_other_nonces() {
    let house = house(Some(&[1; 32]));
    let (first, second, other) = (principal("s", "1"), principal("s", "2"), principal("x", "1"));
    let by_first = header(&house.signatures.key(&first).unwrap(), signed("/"), NOW_MS, NONCE);
    assert_eq!(house.send(&second, &by_first, signed("/")).await, Err(SignatureError::Wrong));
    assert_eq!(house.send(&other, &by_first, signed("/")).await, Err(SignatureError::Wrong));
    assert_eq!(house.send(&first, &by_first, signed("/")).await, Ok(()));
    let by_second = header(&house.signatures.key(&second).unwrap(), signed("/"), NOW_MS, NONCE);
    assert_eq!(house.send(&second, &by_second, signed("/")).await, Err(SignatureError::Replayed), "the same subject");
    let by_other = header(&house.signatures.key(&other).unwrap(), signed("/"), NOW_MS, NONCE);
    assert_eq!(house.send(&other, &by_other, signed("/")).await, Ok(()));
}

#[tokio::test]
async fn the_instant_counts_for_a_minute_either_way() {
    let house = house(Some(&[1; 32]));
    let by = principal("s", "1");
    let key = house.signatures.key(&by).unwrap();
    for (number, skew, passes) in [(1, -60_000, true), (2, -60_001, false), (3, 60_000, true), (4, 60_001, false)] {
        let header = header(&key, signed("/"), NOW_MS + skew, &format!("{NONCE}{number}"));
        let outcome = house.send(&by, &header, signed("/")).await;
        let refused = Err(SignatureError::OutOfTime { now_ms: NOW_MS });
        assert_eq!(outcome, if passes { Ok(()) } else { refused }, "{skew}");
    }
    // Made a minute ahead, it is in time for two: and used once in all of them.
    house.clock.advance_ms(120_000);
    let early = header(&key, signed("/"), NOW_MS + 60_000, &format!("{NONCE}3"));
    assert_eq!(house.send(&by, &early, signed("/")).await, Err(SignatureError::Replayed));
    house.clock.advance_ms(1);
    let now_ms = NOW_MS + 120_001;
    assert_eq!(house.send(&by, &early, signed("/")).await, Err(SignatureError::OutOfTime { now_ms }));
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_out_of_time() {
    let house = house(Some(&[1; 32]));
    let by = principal("s", "1");
    let header = header(&house.signatures.key(&by).unwrap(), signed("/"), NOW_MS, NONCE);
    let claim = house.signatures.claim(&by, Some(&header)).unwrap().unwrap();
    house.clock.advance_ms(60_001);
    let outcome = house.signatures.check(&by, &claim, signed("/")).await;
    assert_eq!(outcome, Err(SignatureError::OutOfTime { now_ms: NOW_MS + 60_001 }));
}

#[test]
fn a_missing_signature_counts_only_where_one_is_required() {
    let by = principal("s", "1");
    let with_secret = house(Some(&[1; 32]));
    assert_eq!(with_secret.signatures.claim(&by, None), Ok(None));
    with_secret.switches.require_signatures(&by.tenant, true);
    assert_eq!(with_secret.signatures.claim(&by, None), Err(SignatureError::Missing));
    let without = house(None);
    assert_eq!(without.signatures.claim(&by, Some("sig1=:other:")), Ok(None), "nobody here reads it");
    without.switches.require_signatures(&by.tenant, true);
    assert_eq!(without.signatures.claim(&by, None), Err(SignatureError::NoSecret), "it fails closed");
}

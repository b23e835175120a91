//! JSON Web Key Sets (RFC 7517, 7518 and 8037): what can be used of them, and what is left out.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::key::{Algorithm, Key};
use super::key_fault::KeyFault;
use super::key_list::KeyList;

/// Some write the padding that RFC 7518 leaves out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whom a set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody publishes it, so it holds no secret.
    Address,
    /// It is a file of this host, so shared secrets may be in it.
    File,
}

/// The text is no JSON Web Key Set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a JSON Web Key Set, a JSON object with a list of \"keys\"; a discovery document names its address as jwks_uri"
)]
pub struct NotJwks;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The members that are read. What is unknown is ignored, as the standard says.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    d: Option<IgnoredAny>,
}

/// The keys of a set, or of a single key in JSON.
pub fn read(text: &[u8], origin: Origin) -> Result<KeyList, NotJwks> {
    if let Ok(Document { keys }) = serde_json::from_slice(text) {
        return Ok(KeyList::of(keys.into_iter().map(|key| usable(key.get().as_bytes(), origin))));
    }
    let is_one_key = serde_json::from_slice::<Jwk>(text).is_ok();
    if is_one_key { Ok(KeyList::of([usable(text, origin)])) } else { Err(NotJwks) }
}

fn usable(text: &[u8], origin: Origin) -> Result<Key, KeyFault> {
    let jwk: Jwk = serde_json::from_slice(text).map_err(|_| KeyFault::Invalid)?;
    if !jwk.is_for_signatures() {
        return Err(KeyFault::OtherUse);
    }
    jwk.key(origin)?.named(jwk.kid.as_deref())
}

impl Jwk {
    fn is_for_signatures(&self) -> bool {
        let verifies = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
        self.used_for.as_deref().is_none_or(|used_for| used_for == "sig") && self.key_ops.as_ref().is_none_or(verifies)
    }

    fn key(&self, origin: Origin) -> Result<Key, KeyFault> {
        match (&*self.kty, self.crv.as_deref()) {
            ("oct", _) if origin == Origin::Address => Err(KeyFault::SharedSecret),
            (_, _) if self.d.is_some() => Err(KeyFault::PrivateKey),
            ("oct", _) => self.check_algorithm(Algorithm::Hs256).and_then(|()| Key::secret(&bytes(self.k.as_ref())?)),
            ("RSA", _) => self
                .check_algorithm(Algorithm::Rs256)
                .and_then(|()| Key::rsa(&bytes(self.n.as_ref())?, &bytes(self.e.as_ref())?)),
            ("EC", Some("P-256")) => self.check_algorithm(Algorithm::Es256).and_then(|()| self.point()),
            ("OKP", Some("Ed25519")) => {
                self.check_algorithm(Algorithm::EdDsa).and_then(|()| Key::ed25519(&bytes(self.x.as_ref())?))
            }
            _ => Err(KeyFault::Unsupported),
        }
    }

    /// Refuses a key that names another algorithm.
    fn check_algorithm(&self, algorithm: Algorithm) -> Result<(), KeyFault> {
        let named = self.alg.as_deref().map(Algorithm::named);
        if named.is_none_or(|named| named == Some(algorithm)) { Ok(()) } else { Err(KeyFault::Unsupported) }
    }

    fn point(&self) -> Result<Key, KeyFault> {
        let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
        if x.len() != 32 || y.len() != 32 {
            return Err(KeyFault::Invalid);
        }
        Key::p256(&[&[4], &x[..], &y].concat())
    }
}

fn bytes(text: Option<&String>) -> Result<Vec<u8>, KeyFault> {
    text.and_then(|text| BASE64.decode(text).ok()).ok_or(KeyFault::Invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rsa(bits: usize) -> Value {
        let n = BASE64.encode([&[0x80][..], &vec![0x11; bits / 8 - 1]].concat());
        json!({"kty": "RSA", "n": n, "e": "AQAB"})
    }

    fn okp(length: usize) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(vec![7; length])})
    }

    fn with(mut key: Value, more: &Value) -> Value {
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn set(keys: &[Value], origin: Origin) -> KeyList {
        read(json!({"keys": keys}).to_string().as_bytes(), origin).unwrap()
    }

    #[test]
    fn each_kind_of_key_is_read() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode([7; 32]), "y": BASE64.encode([7; 32])});
        let keys = [
            with(rsa(2_048), &json!({"kid": "r", "alg": "RS256", "use": "sig", "x5t": "ignored"})),
            with(ec, &json!({"kid": "e", "key_ops": ["verify"], "alg": "ES256"})),
            with(okp(32), &json!({"kid": "o", "alg": "Ed25519"})),
            okp(32),
        ];
        let list = set(&keys, Origin::Address);
        let read: Vec<_> = list.keys.iter().map(|key| (key.algorithm().as_str(), key.id())).collect();
        assert_eq!(read, [("RS256", Some("r")), ("ES256", Some("e")), ("EdDSA", Some("o")), ("EdDSA", None)]);
        assert_eq!(list.left_out.total(), 0);
    }

    #[test]
    fn what_cannot_be_used_is_left_out_with_its_reason() {
        let short = json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode([7; 31]), "y": BASE64.encode([7; 32])});
        for (key, why) in [
            (rsa(1_024), KeyFault::Weak),
            (with(rsa(2_048), &json!({"e": "AQ"})), KeyFault::Invalid),
            (with(rsa(2_048), &json!({"n": "!"})), KeyFault::Invalid),
            (with(rsa(2_048), &json!({"n": null})), KeyFault::Invalid),
            (with(rsa(2_048), &json!({"alg": "PS256"})), KeyFault::Unsupported),
            (with(rsa(2_048), &json!({"alg": "HS256"})), KeyFault::Unsupported),
            (with(rsa(2_048), &json!({"use": "enc"})), KeyFault::OtherUse),
            (with(rsa(2_048), &json!({"key_ops": ["encrypt"]})), KeyFault::OtherUse),
            (with(rsa(2_048), &json!({"d": "AQ"})), KeyFault::PrivateKey),
            (with(rsa(2_048), &json!({"kid": 7})), KeyFault::Invalid),
            (with(rsa(2_048), &json!({"kid": ""})), KeyFault::Invalid),
            (okp(31), KeyFault::Invalid),
            (okp(0), KeyFault::Invalid),
            (okp(33), KeyFault::Invalid),
            (short, KeyFault::Invalid),
            (json!({"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"}), KeyFault::Unsupported),
            (json!({"kty": "OKP", "crv": "X25519", "x": "AQ"}), KeyFault::Unsupported),
            (json!({"kty": "AKP", "alg": "ML-DSA-44"}), KeyFault::Unsupported),
            (json!({"kty": "oct", "k": BASE64.encode([7; 64])}), KeyFault::SharedSecret),
            (json!({"crv": "P-256"}), KeyFault::Invalid),
            (json!([]), KeyFault::Invalid),
            (json!(null), KeyFault::Invalid),
        ] {
            let list = set(&[key.clone(), with(okp(32), &json!({"kid": "good"}))], Origin::Address);
            assert_eq!((list.keys.len(), list.left_out.of(why), list.left_out.total()), (1, 1, 1), "{key}");
        }
    }

    #[test]
    fn a_shared_secret_may_stand_in_a_file_if_nobody_guesses_it() {
        let oct = |secret: &[u8]| json!({"kty": "oct", "kid": "old", "k": BASE64.encode(secret)});
        let list = set(&[oct(b"a key of thirty-two bytes or more")], Origin::File);
        assert_eq!((list.keys[0].algorithm(), list.keys[0].id()), (Algorithm::Hs256, Some("old")));
        assert_eq!(set(&[oct(&[7; 64])], Origin::File).left_out.of(KeyFault::Weak), 1);
    }

    #[test]
    fn thousands_of_keys_are_bounded_and_doubled_names_stand_for_none() {
        let keys: Vec<Value> = (0..3_000_u16)
            .map(|number| {
                let x = BASE64.encode([&number.to_be_bytes()[..], &[7; 30]].concat());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": number.to_string()})
            })
            .collect();
        let list = set(&keys, Origin::Address);
        assert_eq!((list.keys.len(), list.left_out.of(KeyFault::TooMany)), (100, 2_900));
        let doubled = [with(okp(32), &json!({"kid": "a"})), with(keys[1].clone(), &json!({"kid": "a"}))];
        assert_eq!(set(&doubled, Origin::Address).left_out.of(KeyFault::Duplicate), 2);
    }

    #[test]
    fn one_key_alone_is_a_set_and_other_texts_are_none() {
        let text = with(okp(32), &json!({"kid": "a"})).to_string();
        assert_eq!(read(text.as_bytes(), Origin::File).unwrap().keys.len(), 1);
        assert_eq!(read(br#"{"keys": []}"#, Origin::Address).unwrap().keys.len(), 0);
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "<html>",
            "{\"keys\": {}}",
            "{\"keys\": [",
            "{\"keys\": 7}",
            "\u{feff}{\"keys\":[]}",
        ] {
            assert_eq!(read(text.as_bytes(), Origin::Address).err(), Some(NotJwks), "{text}");
        }
    }
}

//! One key that tokens are verified with, and the one algorithm it is for.
//!
//! A key names its algorithm, and a token must use it. So a public key never passes for a shared
//! secret, whatever a token's header says (RFC 8725, 3.1).

use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::key_fault::KeyFault;
use crate::domain::principal::KeyMark;

/// Shorter secrets can be guessed offline from one token.
pub const MIN_SECRET_BYTES: usize = 32;

/// A secret of fewer different bytes was typed and not drawn.
pub const MIN_DIFFERENT_BYTES: usize = 8;

/// The bits of an RSA modulus that are accepted.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The longest `kid` of a key.
const MAX_ID_BYTES: usize = 256;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC by a shared secret.
    Hs256,
    /// RSA, PKCS #1 v1.5.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether its keys may be published.
    pub const fn is_public(self) -> bool {
        !matches!(self, Self::Hs256)
    }

    /// The algorithm that a header names. RFC 9864 gives Ed25519 a second name.
    pub fn named(text: &str) -> Option<Self> {
        let all = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];
        all.into_iter().find(|algorithm| algorithm.as_str() == text).or((text == "Ed25519").then_some(Self::EdDsa))
    }
}

/// A key and its algorithm.
pub struct Key {
    id: Option<Box<str>>,
    mark: KeyMark,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(UnparsedPublicKey<Vec<u8>>),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
}

/// Whether a secret is long and mixed enough that nobody guesses it.
pub fn is_strong_secret(secret: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in secret {
        seen[usize::from(*byte)] = true;
    }
    secret.len() >= MIN_SECRET_BYTES && seen.iter().filter(|is_seen| **is_seen).count() >= MIN_DIFFERENT_BYTES
}

impl Key {
    /// A shared secret, for HS256.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyFault> {
        if !is_strong_secret(secret) {
            return Err(KeyFault::Weak);
        }
        Ok(Self::new(&[secret], Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    /// An RSA key by its modulus and exponent, big-endian, for RS256.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        if !RSA_BITS.contains(&bits(n)) {
            return Err(KeyFault::Weak);
        }
        // 1 would let anybody sign; the library refuses the others, which nobody uses.
        let is_exponent = matches!(e, [.., last] if last % 2 == 1) && (2..=33).contains(&bits(e));
        if !is_exponent {
            return Err(KeyFault::Invalid);
        }
        Ok(Self::new(&[n, e], Material::Rsa(RsaPublicKeyComponents { n: n.to_vec(), e: e.to_vec() })))
    }

    /// A point on P-256, uncompressed, for ES256.
    pub fn p256(point: &[u8]) -> Result<Self, KeyFault> {
        if point.len() != 65 || point[0] != 4 {
            return Err(KeyFault::Invalid);
        }
        Ok(Self::new(&[point], Material::P256(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.to_vec()))))
    }

    /// An Ed25519 key, for `EdDSA`.
    pub fn ed25519(key: &[u8]) -> Result<Self, KeyFault> {
        if key.len() != 32 {
            return Err(KeyFault::Invalid);
        }
        Ok(Self::new(&[key], Material::Ed25519(UnparsedPublicKey::new(&ED25519, key.to_vec()))))
    }

    fn new(parts: &[&[u8]], material: Material) -> Self {
        let mut key = Self { id: None, mark: KeyMark(0), material };
        key.mark = mark(key.algorithm(), parts);
        key
    }

    /// The key under a `kid`.
    pub fn named(self, id: Option<&str>) -> Result<Self, KeyFault> {
        if id.is_some_and(|id| id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control)) {
            return Err(KeyFault::Invalid);
        }
        Ok(Self { id: id.map(Into::into), ..self })
    }

    /// Its `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What tells it from others: the same key has the same mark, whatever its `kid`.
    pub const fn mark(&self) -> KeyMark {
        self.mark
    }

    /// The algorithm that its tokens use.
    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether it signed `message` so.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(),
            Material::P256(key) | Material::Ed25519(key) => key.verify(message, signature).is_ok(),
        }
    }

    /// The signature of `message`, by a shared secret: public keys sign nothing.
    pub fn sign(&self, message: &[u8]) -> Option<hmac::Tag> {
        match &self.material {
            Material::Secret(key) => Some(hmac::sign(key, message)),
            _ => None,
        }
    }
}

/// What a log may say of it.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{} {id:?}", self.algorithm().as_str()),
            None => write!(f, "{} without kid", self.algorithm().as_str()),
        }
    }
}

fn mark(algorithm: Algorithm, parts: &[&[u8]]) -> KeyMark {
    let mut text = algorithm.as_str().as_bytes().to_vec();
    for part in parts {
        text.extend_from_slice(&part.len().to_be_bytes());
        text.extend_from_slice(part);
    }
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest(&SHA256, &text).as_ref()[..8]);
    KeyMark(u64::from_be_bytes(mark))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The bits of a number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_named_exactly() {
        for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            assert_eq!(Algorithm::named(algorithm.as_str()), Some(algorithm));
        }
        assert_eq!(Algorithm::named("Ed25519"), Some(Algorithm::EdDsa));
        for other in ["", "none", "None", "hs256", "HS256 ", "HS384", "RS512", "PS256", "ES384", "eddsa"] {
            assert_eq!(Algorithm::named(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_key_below_its_least_size_is_none() {
        let short = |bits: usize| [&[0x80], &vec![0x11; bits / 8 - 1][..]].concat();
        for bits in [512, 1_024, 2_040, 8_200] {
            assert_eq!(Key::rsa(&short(bits), &[1, 0, 1]).err(), Some(KeyFault::Weak), "{bits}");
        }
        assert!(Key::rsa(&short(2_048), &[1, 0, 1]).is_ok());
        assert!(Key::rsa(&[&[0, 0], &short(2_048)[..]].concat(), &[0, 1, 0, 1]).is_ok());
        for e in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[4, 0, 0, 0, 1]] {
            assert_eq!(Key::rsa(&short(2_048), e).err(), Some(KeyFault::Invalid), "{e:?}");
        }
        for length in [0, 31, 33, 57] {
            assert_eq!(Key::ed25519(&vec![7; length]).err(), Some(KeyFault::Invalid), "{length}");
        }
        for point in [vec![4; 64], vec![4; 66], vec![2; 33], vec![2; 65], vec![]] {
            assert_eq!(Key::p256(&point).err(), Some(KeyFault::Invalid), "{point:?}");
        }
    }

    #[test]
    fn a_secret_is_long_and_mixed() {
        for weak in
            [&b"k".repeat(32), &b" ".repeat(64), &b"abcdefg".repeat(5), &b"abcdefghijklmnopqrstuvwxyz01234".to_vec()]
        {
            assert_eq!(Key::secret(weak).err(), Some(KeyFault::Weak), "{weak:?}");
        }
        assert!(is_strong_secret(&b"abcdefgh".repeat(4)));
    }

    #[test]
    fn a_mark_is_of_the_key_and_not_of_its_name() {
        let key = |secret: &[u8]| Key::secret(secret).unwrap();
        let (one, other) = (b"a key of thirty-two bytes or more", b"another key of thirty-two bytes..");
        assert_eq!(key(one).mark(), key(one).named(Some("kid")).unwrap().mark());
        assert_ne!(key(one).mark(), key(other).mark());
        let long = "k".repeat(257);
        for bad in ["", "a\nb", &long] {
            assert_eq!(key(one).named(Some(bad)).err(), Some(KeyFault::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn a_key_off_its_curve_proves_nothing() {
        for key in [Key::p256(&[4; 65]).unwrap(), Key::ed25519(&[0xff; 32]).unwrap()] {
            assert!(!key.verifies(b"message", &[7; 64]));
            assert!(!key.verifies(b"message", b""));
        }
    }
}

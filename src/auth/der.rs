//! The little of DER that a public key is written in (X.690; RFC 5280, 8017 and 8410).

use super::key::Key;
use super::key_fault::KeyFault;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A public key with its algorithm (`SubjectPublicKeyInfo`).
pub fn public_key(der: &[u8]) -> Result<Key, KeyFault> {
    let (algorithm, parameters, bits) = subject_public_key_info(der).ok_or(KeyFault::Invalid)?;
    match (algorithm, parameters) {
        (RSA, _) => rsa_public_key(bits),
        (EC, Some(P256)) => Key::p256(bits),
        (ED25519, _) => Key::ed25519(bits),
        _ => Err(KeyFault::Unsupported),
    }
}

/// An RSA key alone (`RSAPublicKey`).
pub fn rsa_public_key(der: &[u8]) -> Result<Key, KeyFault> {
    let (n, e) = modulus_and_exponent(der).ok_or(KeyFault::Invalid)?;
    Key::rsa(n, e)
}

/// The algorithm, its parameters if they are an object, and the key's bits.
type Info<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn subject_public_key_info(der: &[u8]) -> Option<Info<'_>> {
    let mut info = Reader(only(der, SEQUENCE)?);
    let mut algorithm = Reader(info.take(SEQUENCE)?);
    let bits = info.take(BIT_STRING)?.strip_prefix(&[0])?;
    let (name, parameters) = (algorithm.take(OBJECT)?, algorithm.take(OBJECT));
    info.0.is_empty().then_some((name, parameters, bits))
}

fn modulus_and_exponent(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = Reader(only(der, SEQUENCE)?);
    let (n, e) = (key.take(INTEGER)?, key.take(INTEGER)?);
    // A first bit that is set makes a number negative.
    let is_positive = |number: &[u8]| number.first().is_some_and(|first| *first < 0x80);
    (key.0.is_empty() && is_positive(n) && is_positive(e)).then_some((n, e))
}

/// What an element holds that is all there is.
fn only(der: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader(der);
    let content = reader.take(tag)?;
    reader.0.is_empty().then_some(content)
}

/// Elements that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next element, if it has that tag; else nothing is read.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }
}

fn length(der: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let bytes = usize::from(first & 0x7f);
    if !(1..=4).contains(&bytes) {
        return None;
    }
    let (number, rest) = rest.split_at_checked(bytes)?;
    Some((number.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key::Algorithm;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let length = match length {
            0..0x80 => vec![u8::try_from(length).unwrap()],
            _ => [vec![0x82], u16::try_from(length).unwrap().to_be_bytes().to_vec()].concat(),
        };
        [vec![tag], length, content.to_vec()].concat()
    }

    fn info(algorithm: &[Vec<u8>], bits: &[u8]) -> Vec<u8> {
        let bits = element(BIT_STRING, &[&[0], bits].concat());
        element(SEQUENCE, &[element(SEQUENCE, &algorithm.concat()), bits].concat())
    }

    #[test]
    fn each_kind_of_key_is_read() {
        let n = [&[0, 0xc1][..], &[0x55; 255]].concat();
        let rsa = element(SEQUENCE, &[element(INTEGER, &n), element(INTEGER, &[1, 0, 1])].concat());
        assert_eq!(rsa_public_key(&rsa).unwrap().algorithm(), Algorithm::Rs256);
        let key = public_key(&info(&[element(OBJECT, RSA), vec![5, 0]], &rsa)).unwrap();
        assert_eq!(key.mark(), rsa_public_key(&rsa).unwrap().mark());
        let point = [&[4][..], &[7; 64]].concat();
        let key = public_key(&info(&[element(OBJECT, EC), element(OBJECT, P256)], &point)).unwrap();
        assert_eq!((key.algorithm(), key.mark()), (Algorithm::Es256, Key::p256(&point).unwrap().mark()));
        let key = public_key(&info(&[element(OBJECT, ED25519)], &[7; 32])).unwrap();
        assert_eq!(key.algorithm(), Algorithm::EdDsa);
    }

    #[test]
    fn another_curve_is_another_kind_and_a_short_key_is_none() {
        let p384 = [0x2b, 0x81, 0x04, 0x00, 0x22];
        let unsupported = info(&[element(OBJECT, EC), element(OBJECT, &p384)], &[4; 97]);
        assert_eq!(public_key(&unsupported).err(), Some(KeyFault::Unsupported));
        assert_eq!(public_key(&info(&[element(OBJECT, ED25519)], &[7; 31])).err(), Some(KeyFault::Invalid));
    }

    #[test]
    fn whatever_is_cut_or_altered_is_refused_without_a_panic() {
        let whole = info(&[element(OBJECT, ED25519)], &[7; 32]);
        for end in 0..whole.len() {
            assert!(public_key(&whole[..end]).is_err(), "{end}");
        }
        for (place, bit) in (0..whole.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut altered = whole.clone();
            altered[place] ^= 1 << bit;
            let _ = public_key(&altered);
            let _ = rsa_public_key(&altered);
        }
        assert!(public_key(&[whole, vec![0]].concat()).is_err());
        for odd in [&[0x30, 0x80][..], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[]] {
            assert!(public_key(odd).is_err(), "{odd:?}");
        }
    }
}

//! The secret that every key is derived from (HKDF, RFC 5869).

use ring::hkdf;

/// What HKDF extracts with. It names the form: another form gets another one.
const SALT: &[u8] = b"synckairos/1";

/// A pseudorandom key, extracted from `SEAL_SECRET`.
#[derive(Debug)]
pub struct SealSecret(hkdf::Prk);

/// So many bytes are derived.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl SealSecret {
    /// From the bytes of the setting.
    pub fn new(secret: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret))
    }

    /// The bytes that belong to `info`: no other text gives the same.
    pub fn derive<const N: usize>(&self, info: &[u8]) -> [u8; N] {
        let mut derived = [0; N];
        // HKDF gives up to 255 times 32 bytes, and nobody asks for more than 40.
        let _ = self.0.expand(&[info], Length(N)).and_then(|output| output.fill(&mut derived));
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_info_gives_the_same_bytes_and_another_gives_others() {
        let (secret, other) = (SealSecret::new(&[1; 32]), SealSecret::new(&[2; 32]));
        assert_eq!(secret.derive::<40>(b"a"), secret.derive::<40>(b"a"));
        assert_ne!(secret.derive::<40>(b"a"), secret.derive::<40>(b"b"));
        assert_ne!(secret.derive::<40>(b"a"), other.derive::<40>(b"a"));
        assert_ne!(secret.derive::<32>(b"a"), [0; 32]);
        assert_eq!(secret.derive::<40>(b"a")[..32], secret.derive::<32>(b"a"));
    }
}

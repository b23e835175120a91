//! Those who sign tokens with keys of their own, and publish the public ones.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use testkit::certificates::openssl;

use super::token::signed_with;
use super::with;

/// What stands before a key in a `SubjectPublicKeyInfo`.
const ED25519_PREFIX: &str = "302a300506032b6570032100";
const P256_PREFIX: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Who signs tokens.
pub struct Issuer {
    kid: String,
    algorithm: &'static str,
    jwk: Value,
    public_der: Vec<u8>,
    sign: Sign,
}

impl Issuer {
    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref());
        let pair = pair.unwrap();
        let public = pair.public_key().as_ref().to_vec();
        Self {
            kid: kid.to_owned(),
            algorithm: "EdDSA",
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&public)}),
            public_der: [bytes(ED25519_PREFIX), public].concat(),
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    pub fn es256(kid: &str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let part = |at: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&public[at]);
        Self {
            kid: kid.to_owned(),
            algorithm: "ES256",
            jwk: json!({"kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65)}),
            public_der: [bytes(P256_PREFIX), public].concat(),
            sign: Box::new(move |message| pair.sign(&random, message).unwrap().as_ref().to_vec()),
        }
    }

    /// With so many bits; ring signs with 2,048 and more.
    pub fn rs256(kid: &str) -> Self {
        let pem = String::from_utf8(rsa_key(2_048)).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let length = pair.public().modulus_len();
        Self {
            kid: kid.to_owned(),
            algorithm: "RS256",
            jwk: json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)}),
            public_der: public_of(&pem),
            sign: Box::new(move |message| {
                let mut signature = vec![0; length];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }),
        }
    }

    /// Its public key, as a key set has it.
    pub fn jwk(&self) -> Value {
        with(self.jwk.clone(), json!({"kid": self.kid, "use": "sig", "alg": self.algorithm}))
    }

    /// Its public key in PEM, which knows no names.
    pub fn pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&self.public_der))
    }

    /// Its public key in DER.
    pub fn der(&self) -> &[u8] {
        &self.public_der
    }

    /// A token of those claims, as such providers sign them.
    pub fn token(&self, claims: &Value) -> String {
        self.token_under(&json!({"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid}), claims)
    }

    /// Under another header.
    pub fn token_under(&self, header: &Value, claims: &Value) -> String {
        signed_with(header, claims, &self.sign)
    }
}

/// A key set of those keys.
pub fn key_set(keys: &[Value]) -> Value {
    json!({"keys": keys})
}

/// The set of what those issuers publish.
pub fn published(issuers: &[&Issuer]) -> Value {
    key_set(&issuers.iter().map(|issuer| issuer.jwk()).collect::<Vec<_>>())
}

/// A private RSA key in PEM.
fn rsa_key(bits: u32) -> Vec<u8> {
    openssl(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
}

/// The public key of a new pair of so many bits, in PEM.
pub fn rsa_public_pem(bits: u32) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rsa_key(bits)).unwrap();
    String::from_utf8(openssl(&["pkey", "-pubout", "-in", file.path().to_str().unwrap()])).unwrap()
}

fn public_of(private_pem: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), private_pem).unwrap();
    openssl(&["pkey", "-pubout", "-outform", "DER", "-in", file.path().to_str().unwrap()])
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

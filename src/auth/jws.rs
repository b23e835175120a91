//! A signed token in its compact form (RFC 7515): three parts in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::denied::Denied;
use super::key::{Algorithm, Key};

/// The types of tokens that are meant for this service (RFC 8725, 3.11; RFC 9068).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token that is not proven yet.
pub struct Jws<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// What is read of a header. Keys and addresses of keys in it (`jwk`, `jku`, `x5u`) count for nothing.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood, and are not.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_critical: bool,
}

/// Whatever it says, it is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Jws<'a> {
    /// The parts of `token`, if it can be one of ours.
    pub fn read(token: &'a str) -> Result<Self, Denied> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Denied::Invalid)?;
        let (header, claims) = signed.split_once('.').ok_or(Denied::Invalid)?;
        let header: Header = object(&decoded(header)?)?;
        if header.has_critical || !header.typ.as_deref().is_none_or(is_known_type) {
            return Err(Denied::Invalid);
        }
        let algorithm = Algorithm::named(&header.alg).ok_or(Denied::Invalid)?;
        Ok(Self { algorithm, key_id: header.kid, signed, claims, signature: decoded(signature)? })
    }

    /// How it says it is signed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that it names.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether `key` signed it.
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.algorithm() == self.algorithm && key.verifies(self.signed.as_bytes(), &self.signature)
    }

    /// What it claims.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, Denied> {
        object(&decoded(self.claims)?)
    }
}

/// A token of `claims`, if `key` signs.
pub fn sign(claims: &[u8], key: &Key) -> Option<String> {
    let header = format!(r#"{{"typ":"JWT","alg":"{}"}}"#, key.algorithm().as_str());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn is_known_type(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TYPES.contains(&name.strip_prefix("application/").unwrap_or(&name))
}

fn decoded(part: &str) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::Invalid)
}

/// A JSON object with each member once. A list would pass for one by its order.
fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, Denied> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Denied::Invalid);
    }
    serde_json::from_slice(text).map_err(|_| Denied::Invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text.replace(['\n', ' '], "")).unwrap()
    }

    fn read(header: &str) -> Result<Algorithm, Denied> {
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        Jws::read(&token).map(|jws| jws.algorithm())
    }

    #[test]
    fn the_standards_own_tokens_are_proven() {
        const PAYLOAD: &str =
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        // RFC 7515, A.1 to A.3, and RFC 8037, A.4.
        let hs256 = Key::secret(&bytes(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        ));
        let rs256 = Key::rsa(
            &bytes(
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC\
                 gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xs\
                 mtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            ),
            &bytes("AQAB"),
        );
        let es256 = Key::p256(
            &[
                vec![4],
                bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
            ]
            .concat(),
        );
        let ed = Key::ed25519(&bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
        let tokens = [
            (hs256, format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")),
            (
                rs256,
                format!(
                    "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
                ),
            ),
            (
                es256,
                format!(
                    "eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
                ),
            ),
            (
                ed,
                "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
                    .to_owned(),
            ),
        ];
        for (number, (key, token)) in tokens.iter().enumerate() {
            let (key, jws) = (key.as_ref().unwrap(), Jws::read(token).unwrap());
            assert!(jws.is_signed_by(key), "{token}");
            for (other, _) in tokens.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, each)| each) {
                assert!(!jws.is_signed_by(other.as_ref().unwrap()), "{token}");
            }
            let altered = token.replacen("eyJ0", "eyJ1", 1).replacen(".RXh", ".RXg", 1).replacen("eyJpc3", "eyJpc2", 1);
            assert!(Jws::read(&altered).map_or(true, |jws| !jws.is_signed_by(key)), "{altered}");
        }
    }

    #[test]
    fn a_public_key_is_no_shared_secret() {
        let public = Key::rsa(&[&[0x80][..], &[0x11; 255]].concat(), &[1, 0, 1]).unwrap();
        let forger = Key::secret(&[&[0x80][..], &[0x11; 255], b"abcdefgh"].concat()).unwrap();
        let token = sign(b"{}", &forger).unwrap();
        let jws = Jws::read(&token).unwrap();
        assert!(jws.is_signed_by(&forger) && !jws.is_signed_by(&public));
        assert!(sign(b"{}", &public).is_none());
    }

    #[test]
    fn only_known_algorithms_and_types_are_read() {
        for name in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            assert!(read(&json!({"alg": "HS256", "typ": name}).to_string()).is_ok(), "{name}");
        }
        for name in ["", "JOSE", "dpop+jwt", "logout+jwt", "application/", "jwt ", "text/jwt", "secevent+jwt", "jwt+at"]
        {
            assert_eq!(read(&json!({"alg": "HS256", "typ": name}).to_string()), Err(Denied::Invalid), "{name}");
        }
        for header in [
            json!({"alg": "none"}),
            json!({"alg": null}),
            json!({}),
            json!({"alg": ["HS256"]}),
            json!({"alg": "HS256", "kid": 7}),
            json!({"alg": "HS256", "crit": []}),
            json!({"alg": "HS256", "crit": null}),
            json!({"alg": "HS256", "crit": ["exp"]}),
            json!(["HS256", null, null]),
        ] {
            assert_eq!(read(&header.to_string()), Err(Denied::Invalid), "{header}");
        }
        assert_eq!(read(r#"{"alg":"none","alg":"HS256"}"#), Err(Denied::Invalid));
        assert_eq!(read(r#"{"alg":"HS256"} x"#), Err(Denied::Invalid));
    }

    #[test]
    fn a_token_has_three_parts_in_strict_base64() {
        let header = part(&json!({"alg": "HS256"}));
        for token in [
            String::new(),
            ".".into(),
            "..".into(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}=.e30.AAAA"),
            format!("{header}.e30.A"),
            format!("{header}.e30.AAA+"),
            format!(" {header}.e30.AAAA"),
            format!("{header}.e30.AAAA."),
            format!("{header}.e30.AAAB.AAAA\n"),
            format!("{header}.e30.AB"),
        ] {
            let is_refused = Jws::read(&token).map_or(true, |jws| jws.claims::<Value>().is_err());
            assert!(is_refused, "{token:?}");
        }
    }
}

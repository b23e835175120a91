//! Whether the settings of tokens fit together.

use super::{Config, Error};

/// What a rule for tokens needs.
const ANY_KEY: &str = "a key (JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL)";

impl Config {
    pub(super) fn check_tokens(&self) -> Result<(), Error> {
        let rules = [("JWT_ISSUER", &self.jwt_issuers), ("JWT_AUDIENCE", &self.jwt_audiences)];
        if let Some((name, _)) = rules.into_iter().find(|(_, list)| self.is_open() && !list.is_empty()) {
            return Err(Error::Alone(name, ANY_KEY));
        }
        if self.jwt_jwks_ca_file.is_some() && self.jwt_jwks_url.is_none() {
            return Err(Error::Alone("JWT_JWKS_CA_FILE", "JWT_JWKS_URL"));
        }
        Ok(())
    }

    /// What an operator should think about, though it can be served.
    pub fn warnings(&self) -> Vec<&'static str> {
        let has_issuer = self.jwt_jwks_url.is_some() || self.jwt_public_key_file.is_some();
        let says = |is_so: bool, what| is_so.then_some(what);
        [
            says(
                has_issuer && self.jwt_audiences.is_empty(),
                "JWT_AUDIENCE is not set: a token that the issuer made for another service counts here as well",
            ),
            says(
                has_issuer && self.jwt_issuers.is_empty(),
                "JWT_ISSUER is not set: whoever holds one of the keys may name any issuer",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, Secret};
    use super::*;

    #[test]
    fn any_key_ends_open_mode() {
        let config = Config { listen_addr: "0.0.0.0:1".parse().unwrap(), ..Config::default() };
        for keyed in [
            Config { jwt_public_key_file: Some("keys.pem".into()), ..config.clone() },
            Config { jwt_jwks_url: Some(Address::new("https://id.example/jwks")), ..config.clone() },
        ] {
            assert_eq!((keyed.check(), keyed.is_open()), (Ok(()), false));
            assert_eq!(keyed.warnings().len(), 2);
        }
    }

    #[test]
    fn rules_for_tokens_need_a_key() {
        let issuers = Config { jwt_issuers: vec!["us".into()], ..Config::default() };
        assert_eq!(issuers.check(), Err(Error::Alone("JWT_ISSUER", ANY_KEY)));
        let audiences = Config { jwt_audiences: vec!["us".into()], ..Config::default() };
        assert_eq!(audiences.check(), Err(Error::Alone("JWT_AUDIENCE", ANY_KEY)));
        let authorities = Config { jwt_jwks_ca_file: Some("ca.pem".into()), ..Config::default() };
        assert_eq!(authorities.check(), Err(Error::Alone("JWT_JWKS_CA_FILE", "JWT_JWKS_URL")));
        let keyed = Config { jwt_secret: Secret::new("a key of thirty-two bytes or more"), ..issuers };
        assert_eq!((keyed.check(), keyed.warnings()), (Ok(()), vec![]));
    }
}

//! The keys that tokens are proven with: from the settings to the first set, and the tasks that keep it current.

use std::sync::Arc;

use http::Uri;

use super::error::Error;
use crate::auth::sources::{AddressSettings, KeyAddress, KeyFile, apply};
use crate::auth::{Authenticator, Key, Refresh, Source, TokenRules, Validity};
use crate::config::{Address, Config, content};
use crate::outgoing::Outgoing;
use crate::shutdown::Shutdown;

/// What the settings ask of tokens.
pub fn rules(config: &Config) -> TokenRules {
    let ms = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    TokenRules {
        issuers: config.jwt_issuers.clone(),
        audiences: config.jwt_audiences.clone(),
        leeway_ms: ms(config.jwt_leeway),
        max_life_ms: ms(config.max_token_life),
    }
}

/// An authenticator with the keys of this host: the secret, and the file of public keys.
pub fn authenticator(config: &Config, refresh: Option<Arc<Refresh>>) -> Result<Authenticator, Error> {
    if config.is_open() {
        return Ok(Authenticator::open()?);
    }
    let authenticator = Authenticator::keyed(rules(config), refresh);
    if let Some(secret) = &config.jwt_secret {
        let key = Key::secret(secret.as_bytes());
        apply(&authenticator, Source::Secret, [key].into_iter().collect());
    }
    if let Some(file) = &config.jwt_public_key_file {
        apply(&authenticator, Source::File, KeyFile::public(file).load()?);
    }
    Ok(authenticator)
}

/// Checks what can be checked of the keys without a request to others.
pub fn check(config: &Config) -> Result<(), Error> {
    authenticator(config, None)?;
    address(config).map(|_| ())
}

/// Starts proving callers. The issuer's keys are fetched once before, if it answers in time.
pub async fn start(
    config: &Config,
    validity: Arc<dyn Validity>,
    front: &Shutdown,
) -> Result<Arc<Authenticator>, Error> {
    let timers = &config.timers;
    let address = address(config)?;
    let refresh = address.is_some().then(|| Arc::new(Refresh::new(timers.jwks_min_interval, timers.jwks_wait)));
    let authenticator = Arc::new(authenticator(config, refresh.clone())?.with_validity(validity));
    let secret = config.files.get("JWT_SECRET").map(|file| KeyFile::secret(file, content));
    let public = config.jwt_public_key_file.as_deref().map(KeyFile::public);
    for file in [secret, public].into_iter().flatten() {
        let watching = file.watch(Arc::clone(&authenticator), timers.key_file_check);
        front.spawn_until_stopped("key files", watching);
    }
    if let Some(((address, outgoing), refresh)) = address.zip(refresh) {
        let mut keys = KeyAddress::new(address, outgoing, settings(config), Arc::clone(&authenticator));
        keys.fetch().await;
        front.spawn_until_stopped("issuer keys", keys.run(refresh));
    }
    Ok(authenticator)
}

fn settings(config: &Config) -> AddressSettings {
    let timers = &config.timers;
    AddressSettings {
        refresh: timers.jwks_refresh,
        retry: timers.jwks_min_interval,
        keep: timers.jwks_keep,
        timeout: timers.jwks_timeout,
    }
}

/// The issuer's address, and what reaches it.
fn address(config: &Config) -> Result<Option<(Uri, Outgoing)>, Error> {
    let Some(address) = &config.jwt_jwks_url else { return Ok(None) };
    let uri = Address::as_str(address).parse().map_err(|_| Error::IssuerAddress)?;
    let ca = config.jwt_jwks_ca_file.as_deref();
    let outgoing = Outgoing::new(ca).map_err(|source| Error::Authorities {
        file: ca.map_or("the certificates that the host trusts".into(), |file| file.display().to_string()),
        source,
    })?;
    Ok(Some((uri, outgoing)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth;
    use crate::config::Secret;

    #[test]
    fn a_secret_that_the_settings_accept_proves_tokens() {
        assert_eq!(Secret::MIN_BYTES, auth::MIN_SECRET_BYTES);
        assert_eq!(Secret::MIN_DIFFERENT_BYTES, auth::MIN_DIFFERENT_BYTES);
    }

    #[test]
    fn keys_that_cannot_be_used_are_told_before_anything_starts() {
        let missing = Config { jwt_public_key_file: Some("/nowhere".into()), ..Config::default() };
        assert!(matches!(check(&missing), Err(Error::Keys(_))));
        let address = Some(Address::new("https://id.example/jwks"));
        let config = Config { jwt_jwks_url: address, jwt_jwks_ca_file: Some("/dev/null".into()), ..Config::default() };
        assert!(matches!(check(&config), Err(Error::Authorities { .. })));
        assert!(check(&Config::default()).is_ok());
    }
}

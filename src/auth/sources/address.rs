//! Keys that an issuer publishes at an address (`JWT_JWKS_URL`).
//!
//! They are fetched at the start, now and then, and when a token names a key that is not known.
//! What the last good answer said holds for a day of failures, and no longer.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, sleep_until};

use super::report::apply;
use crate::auth::jwks::{NotJwks, Origin};
use crate::auth::key_list::KeyList;
use crate::auth::{Authenticator, Refresh, Source, jwks};
use crate::outgoing;
use crate::outgoing::{Bounds, Outgoing};
use crate::telemetry::metrics;
use crate::telemetry::outage::chain;

/// The longest answer.
const MAX_BYTES: usize = 256 * 1024;

const ACCEPT: &str = "application/jwk-set+json, application/json";

/// Between two looks at how old the keys are, so that a scrape finds their age.
const AGE_INTERVAL: Duration = Duration::from_secs(10);

/// When an address is fetched, and how long its keys hold.
#[derive(Debug, Clone, Copy)]
pub struct AddressSettings {
    /// Between two fetches.
    pub refresh: Duration,
    /// Until the first try after a failure; the next ones double it.
    pub retry: Duration,
    /// How long the last good answer holds.
    pub keep: Duration,
    /// How long a fetch may take.
    pub timeout: Duration,
}

/// An address of keys.
pub struct KeyAddress {
    address: Uri,
    outgoing: Outgoing,
    settings: AddressSettings,
    authenticator: Arc<Authenticator>,
    started_at: Instant,
    fetched_at: Option<Instant>,
    failures: u32,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Outgoing(#[from] outgoing::Error),
    #[error("the answer is {0}")]
    NotJwks(#[from] NotJwks),
}

impl FetchError {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Outgoing(error) => error.as_str(),
            Self::NotJwks(_) => "invalid",
        }
    }
}

impl KeyAddress {
    /// The keys at `address`, for `authenticator`.
    pub fn new(address: Uri, outgoing: Outgoing, settings: AddressSettings, authenticator: Arc<Authenticator>) -> Self {
        let started_at = Instant::now();
        Self { address, outgoing, settings, authenticator, started_at, fetched_at: None, failures: 0 }
    }

    /// Fetches once. A failure leaves the keys in force as they are, until they are too old.
    pub async fn fetch(&mut self) {
        match self.keys().await {
            Ok(list) => self.succeeded(list),
            Err(error) => self.failed(&error),
        }
        self.report_age();
    }

    async fn keys(&self) -> Result<KeyList, FetchError> {
        let bounds = Bounds { timeout: self.settings.timeout, bytes: MAX_BYTES };
        let text = self.outgoing.get(&self.address, ACCEPT, bounds).await?;
        Ok(jwks::read(&text, Origin::Address)?)
    }

    fn succeeded(&mut self, list: KeyList) {
        if self.failures > 0 {
            tracing::info!(target: "security", failures = self.failures, "the issuer's keys are fetched again");
        }
        if list.keys.is_empty() {
            tracing::error!(target: "security", left_out = %list.left_out, "the issuer publishes no key that can be used");
        }
        (self.fetched_at, self.failures) = (Some(Instant::now()), 0);
        apply(&self.authenticator, Source::Address, list);
    }

    /// One line when failures begin, and one when they have lasted for too long.
    fn failed(&mut self, error: &FetchError) {
        metrics::count_token_key_load(Source::Address.as_str(), error.as_str());
        if self.failures == 0 {
            let error = chain(error);
            tracing::error!(target: "security", error, "failed to fetch the issuer's keys: the last good ones hold");
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Fetches whenever it is time to, until it is dropped.
    pub async fn run(mut self, refresh: Arc<Refresh>) {
        let mut next = Instant::now() + self.pause();
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = refresh.wanted() => {}
                () = tokio::time::sleep(AGE_INTERVAL.min(self.settings.keep)) => {
                    self.report_age();
                    self.forget_old_keys();
                    continue;
                }
            }
            refresh.begin();
            self.fetch().await;
            refresh.end();
            self.forget_old_keys();
            next = Instant::now() + self.pause();
        }
    }

    /// Until the next fetch.
    fn pause(&self) -> Duration {
        let AddressSettings { refresh, retry, .. } = self.settings;
        match self.failures.checked_sub(1) {
            None => refresh,
            Some(failures) => retry.saturating_mul(1 << failures.min(16)).min(refresh),
        }
    }

    fn forget_old_keys(&mut self) {
        if self.fetched_at.is_some_and(|at| at.elapsed() >= self.settings.keep) {
            tracing::error!(target: "security", "the issuer's keys are too old, and prove nothing any more");
            self.fetched_at = None;
            apply(&self.authenticator, Source::Address, KeyList::default());
        }
    }

    fn report_age(&self) {
        metrics::set_token_keys_age(self.fetched_at.unwrap_or(self.started_at).elapsed());
    }
}

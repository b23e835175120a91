//! Looks at the files now and then: what changed is served from the next connection on.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::handshake::{Served, Tls};
use super::load;
use super::load::ContentDigest;
use crate::telemetry::metrics as names;
use crate::telemetry::outage::chain;

impl Tls {
    /// Looks at the files every so often, until it is dropped.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let tls = Arc::clone(&self);
            // A file may be on a disk that hangs.
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                tracing::error!(target: "security", "the files of TLS are looked at no more");
                return;
            }
        }
    }

    /// Takes what the files hold now, if that is new and can be used. Files that changed one
    /// after the other do not fit together for a moment, so the next look may find them mended.
    fn look(&self) {
        let known = self.served.lock().digest;
        match load::read(&self.policy) {
            Ok(read) if read.digest() == known => {}
            Ok(read) => {
                let digest = read.digest();
                let built = load::build(&self.policy, &read, &self.time);
                self.take(built.map(|(config, validity)| Served { config, validity, digest }), digest);
            }
            Err(error) => self.refuse(&error, None),
        }
        self.report();
    }

    fn take(&self, built: Result<Served, Error>, digest: ContentDigest) {
        match built {
            Ok(served) => {
                let left_s = self.left_s(served.validity.until_ms);
                *self.served.lock() = served;
                metrics::gauge!(names::TLS_FILES_REFUSED).set(0);
                tracing::info!(target: "security", left_s, "TLS is served by the changed files");
            }
            Err(error) => self.refuse(&error, Some(digest)),
        }
    }

    /// Says once of each content that it cannot be used.
    fn refuse(&self, error: &Error, digest: Option<ContentDigest>) {
        let mut served = self.served.lock();
        let digest = digest.unwrap_or_default();
        if std::mem::replace(&mut served.digest, digest) == digest {
            return;
        }
        metrics::gauge!(names::TLS_FILES_REFUSED).set(1);
        let error = chain(error);
        tracing::error!(target: "security", error, "the changed files of TLS cannot be used, and those before still are");
    }

    /// Tells how long the certificate is still good.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; the last bit does not matter")]
    pub(super) fn report(&self) {
        let validity = self.served.lock().validity;
        let left = self.left_s(validity.until_ms);
        metrics::gauge!(names::TLS_CERTIFICATE_REMAINING_SECONDS).set(left as f64);
        let lifetime = (validity.until_ms - validity.from_ms) / 1_000;
        metrics::gauge!(names::TLS_CERTIFICATE_LIFETIME_SECONDS).set(lifetime as f64);
    }

    fn left_s(&self, until_ms: i64) -> i64 {
        let now = self.time.current_time().map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        until_ms / 1_000 - now
    }
}

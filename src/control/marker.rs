//! Whether an instance with this data folder has ever read settings and revocations.
//!
//! A Redis without a copy may be new, or may have lost the copy. Where the folder says that there
//! was one, it was lost.

use std::path::PathBuf;

use crate::telemetry::outage::chain;

/// The file that says so.
const FILE: &str = "control-was-read";

/// What the file says to people.
const TEXT: &str = "An instance with this folder has read settings and revocations from the ledger. So a Redis \
    without a copy of them has lost it, and nobody is let in by a token until the ledger answers.\n";

/// The marker in a data folder.
pub struct Marker(PathBuf);

impl Marker {
    /// In that folder.
    pub fn new(folder: &std::path::Path) -> Self {
        Self(folder.join(FILE))
    }

    /// Whether it is there. A folder that cannot be read says nothing.
    pub(super) async fn is_set(&self) -> bool {
        tokio::fs::try_exists(&self.0).await.unwrap_or(false)
    }

    /// Sets it.
    pub(super) async fn set(&self) {
        if self.is_set().await {
            return;
        }
        if let Some(folder) = self.0.parent() {
            let _ = tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await;
        }
        if let Err(error) = tokio::fs::write(&self.0, TEXT).await {
            tracing::info!(
                error = chain(&error),
                "failed to write to the data folder: a Redis that lost everything is taken for new"
            );
        }
    }
}

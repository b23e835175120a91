//! Where a watched session stands, for the fan-out: the use cases know.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::error::Error;
use crate::app::sessions::Sessions;
use crate::domain::id::SessionKey;
use crate::fanout::{Newest, Source, Unavailable};
use crate::wire::frame;

/// The source of every hub.
pub(super) struct Watched(pub Arc<Sessions>);

#[async_trait]
impl Source for Watched {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Newest>, Unavailable> {
        match self.0.newest(key).await {
            Ok(held) => {
                let snapshot = frame::snapshot(&held.session, self.0.now());
                Ok(Some(Newest { position: held.session.position, snapshot, is_deleted: false }))
            }
            Err(Error::NoSession) => Ok(None),
            Err(error) => {
                tracing::warn!(%error, session.id = %key.session, "a watched session cannot be read");
                Err(Unavailable)
            }
        }
    }
}

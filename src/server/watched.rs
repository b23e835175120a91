//! What the fan-out needs of the use cases: where a session stands.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::error::Error;
use crate::app::sessions::Sessions;
use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::fanout::{Newest, Source, Unavailable};
use crate::wire::frame;

/// Sessions, as a source for those who watch.
pub struct Watched(pub Arc<Sessions>);

#[async_trait]
impl Source for Watched {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Newest>, Unavailable> {
        match self.0.watched(key).await {
            Ok(held) => Ok(Some(Newest {
                position: held.session.position,
                snapshot: frame::snapshot(&held.session, held.session.updated_at),
                is_deleted: held.session.status == Status::Deleted,
            })),
            Err(Error::NoSession) => Ok(None),
            Err(error) => {
                tracing::warn!(%error, session.id = %key.session, "a watched session cannot be read");
                Err(Unavailable)
            }
        }
    }
}

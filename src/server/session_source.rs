//! What the fan-out needs of the use cases: where a session stands.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::error::Error;
use crate::app::sessions::Sessions;
use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::fanout::{NewestState, Source, Unavailable};
use crate::wire::frame;
use crate::wire::problem::Code;

/// Sessions, as a source for those who watch.
pub struct SessionSource(pub Arc<Sessions>);

#[async_trait]
impl Source for SessionSource {
    async fn newest(&self, key: &SessionKey) -> Result<Option<NewestState>, Unavailable> {
        match self.0.newest_watched(key).await {
            Ok(held) => Ok(Some(NewestState {
                position: held.session.position,
                snapshot: frame::snapshot(&held.session, held.session.updated_at),
                is_deleted: held.session.status == Status::Deleted,
            })),
            Err(Error::SessionNotFound) => Ok(None),
            Err(error) => {
                // Once for all who watch, the fan-out says so.
                tracing::debug!(%error, session.id = %key.session, "a watched session cannot be read");
                Err(Unavailable { code: code(&error), retry_after: error.retry_after() })
            }
        }
    }
}

/// What a plain read is answered with.
fn code(error: &Error) -> Code {
    match error {
        Error::LedgerUnavailable(_) | Error::LedgerBehind => Code::LedgerUnavailable,
        Error::Restoring => Code::Restoring,
        Error::Unreadable(_) => Code::NeedsRepair,
        _ => Code::StoreUnavailable,
    }
}

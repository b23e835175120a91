//! The source of the fan-out: it reads sessions through the use cases.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::error::Error;
use crate::app::sessions::Sessions;
use crate::domain::id::SessionKey;
use crate::domain::session::Status;
use crate::fanout::{NewestState, Source, Unavailable};
use crate::wire::error_code::Code;
use crate::wire::frame;

/// Sessions as a source of snapshots.
pub struct SessionSource(pub Arc<Sessions>);

#[async_trait]
impl Source for SessionSource {
    async fn newest(&self, key: &SessionKey) -> Result<Option<NewestState>, Unavailable> {
        match self.0.newest_watched(key).await {
            Ok(stored) => Ok(Some(NewestState {
                position: stored.session.position,
                snapshot: frame::snapshot(&stored.session, stored.session.updated_at),
                is_deleted: stored.session.status == Status::Deleted,
            })),
            Err(Error::SessionNotFound) => Ok(None),
            Err(error) => {
                // The fan-out logs it once for all subscribers.
                tracing::debug!(%error, session.id = %key.session, "failed to read a watched session");
                Err(Unavailable { code: code(&error), retry_after: error.retry_after() })
            }
        }
    }
}

/// The code that a plain read of the session answers.
fn code(error: &Error) -> Code {
    match error {
        Error::LedgerUnavailable(_) | Error::LedgerBehind => Code::LedgerUnavailable,
        Error::Restoring => Code::Restoring,
        Error::Unreadable(_) => Code::NeedsRepair,
        _ => Code::StoreUnavailable,
    }
}

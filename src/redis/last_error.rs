//! The last error of a connection. The client library reconnects in the background, and tells
//! a caller only that there is no connection.

use std::sync::Arc;

use fred::error::Error;
use fred::types::config::Server;
use parking_lot::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The last error, if there was one.
#[derive(Debug, Default)]
pub(super) struct LastError(Mutex<Option<String>>);

impl LastError {
    /// Records each error; runs until the client is dropped.
    pub(super) async fn record_all(self: Arc<Self>, mut errors: Receiver<(Error, Option<Server>)>) {
        loop {
            match errors.recv().await {
                Ok((error, _)) => self.record(error.details()),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn record(&self, error: &str) {
        *self.0.lock() = Some(error.to_owned());
    }

    /// An error message: that there is no connection, and why, if it is known.
    pub(super) fn no_connection(&self) -> String {
        match &*self.0.lock() {
            Some(why) => format!("there is no connection: {why}"),
            None => "there is no connection".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_last_error() {
        let last_error = LastError::default();
        assert_eq!(last_error.no_connection(), "there is no connection");
        last_error.record("closed");
        last_error.record("refused");
        assert_eq!(last_error.no_connection(), "there is no connection: refused");
    }
}

//! Why there is no connection: what went wrong with it last. Whoever asks for one learns only
//! that there is none, as the client library tries again behind it.

use std::sync::{Arc, Mutex, PoisonError};

use fred::error::Error;
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// What went wrong last, if anything did.
#[derive(Debug, Default)]
pub(super) struct LastError(Mutex<Option<String>>);

impl LastError {
    /// Keeps the last of what goes wrong; runs until there is nobody to tell it.
    pub(super) async fn record_all(self: Arc<Self>, mut errors: Receiver<(Error, Option<Server>)>) {
        loop {
            match errors.recv().await {
                Ok((error, _)) => self.record(error.details()),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn record(&self, what: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }

    /// That there is no connection, and why as far as is known.
    pub(super) fn no_connection(&self) -> String {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => format!("there is no connection: {why}"),
            None => "there is no connection".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trouble_is_told() {
        let trouble = LastError::default();
        assert_eq!(trouble.no_connection(), "there is no connection");
        trouble.record("closed");
        trouble.record("refused");
        assert_eq!(trouble.no_connection(), "there is no connection: refused");
    }
}

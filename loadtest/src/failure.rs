//! Why a run ends without a report.

use std::io;

/// Reads after "loadtest: ".
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The deployment answered something that a run cannot go on from.
    #[error("the deployment answered {0}")]
    Deployment(String),
    /// A driver process did not do its part.
    #[error("a driver process: {0}")]
    Driver(String),
    /// A signal came before the end.
    #[error("stopped before the end")]
    Stopped,
    /// The service could not be started here.
    #[error("the local service: {0}")]
    Local(String),
    /// A socket, a file, or a process.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A WebSocket.
    #[error(transparent)]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// What should have been JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A token could not be signed.
    #[error(transparent)]
    Token(#[from] jsonwebtoken::errors::Error),
}

//! Why a run ends without a report.

use std::io;

/// Reads after "loadtest: ".
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line cannot be carried out.
    #[error("{0}")]
    Usage(String),
    /// An unexpected answer of the deployment.
    #[error("the deployment answered {0}")]
    Deployment(String),
    /// A driver process failed.
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
    /// Invalid JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

//! What all connections of a listener have in common.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;

use super::deadlines::ConnectionTimeouts;
use super::tls::Tls;

/// Answers requests, from whichever connection they come.
pub trait Handler: Clone + Send + Sync + 'static {
    /// What an answer consists of.
    type Body: Body<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static;

    /// Answers one request.
    fn handle(self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What all connections of a listener have in common.
pub struct Front<H> {
    /// Who answers.
    pub handler: H,
    /// How long they may take.
    pub deadlines: ConnectionTimeouts,
    /// What they are encrypted with; nothing in the clear.
    pub tls: Option<Arc<Tls>>,
    /// They finish once it begins.
    pub stop: CancellationToken,
}

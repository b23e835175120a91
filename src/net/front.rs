//! What all connections of a listener have in common.

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;

use super::deadlines::ConnectionTimeouts;

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
    /// They finish once it begins.
    pub stop: CancellationToken,
}

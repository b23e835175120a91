//! The handler, as the library asks it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::CONNECTION;
use http::{Request, Response, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use parking_lot::Mutex;

use super::activity::{Activity, Serving};
use super::admission::Peer;
use super::front::Handler;
use super::headers::says;
use super::stream_end::StreamEnd;
use super::takeover::{Slot, Takeover};

/// What asks the handler on behalf of one connection.
pub(super) struct Requests<H> {
    handler: H,
    pub(super) slot: Arc<Slot>,
    pub(super) activity: Activity,
    peer: Arc<Peer>,
    /// The first request's head; those of later ones have passed by unseen.
    first: Mutex<Option<Bytes>>,
}

/// The body of an answer, and the request it is the answer to.
pub(super) struct Answer<B> {
    body: B,
    _serving: Serving,
}

impl<H: Handler> Requests<H> {
    pub(super) fn of(handler: &H, peer: &Arc<Peer>, first: Option<Bytes>) -> Self {
        let (handler, peer) = (handler.clone(), Arc::clone(peer));
        Self { handler, slot: Arc::default(), activity: Activity::begin(), peer, first: Mutex::new(first) }
    }

    fn first(&self) -> Option<Bytes> {
        self.first.lock().take()
    }
}

/// Whether the connection may be taken behind a request. What the library knows of one
/// is lost then: where a body ends, which would be read as another request, and that the
/// client wants no other.
fn may_be_taken(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && !says(request.headers(), CONNECTION, "close")
}

/// Whether `head` is this request and nothing else: as many headers, and the same target.
fn is_head_of(head: &[u8], request: &Request<Incoming>) -> bool {
    let lines = memchr::memchr_iter(b'\n', head).count();
    let target = head.split(|byte| *byte == b' ').nth(1);
    // The request line and the empty one.
    lines == request.headers().len() + 2 && target == Some(request.uri().to_string().as_bytes())
}

impl<H: Handler> Service<Request<Incoming>> for Requests<H> {
    type Response = Response<Answer<H::Body>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (serving, slot, handler) = (self.activity.serve(&self.peer), Arc::clone(&self.slot), self.handler.clone());
        let head = self.first().filter(|head| is_head_of(head, &request));
        let handover = may_be_taken(&request).then(|| Takeover::new(&slot, head));
        request.extensions_mut().insert(Arc::clone(&self.peer));
        if let Some(handover) = handover {
            request.extensions_mut().insert(handover);
        }
        Box::pin(async move {
            let end = StreamEnd::current();
            if let Some(end) = end.clone() {
                request.extensions_mut().insert(end);
            }
            let answer = handler.handle(request).await;
            if slot.keep(&answer) {
                // The library is left waiting, and then left.
                std::future::pending::<()>().await;
            }
            if let Some(end) = end {
                end.answered();
            }
            Ok(answer.map(|body| Answer { body, _serving: serving }))
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

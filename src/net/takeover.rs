//! Handing a connection over: the library reads requests and the layers judge them,
//! but what lives on after its answer has begun is served without either.
//!
//! A WebSocket, an event stream or a parked poll mostly waits. Within the library each
//! would hold two buffers and the state of the whole stack; handed over it holds what it
//! needs itself. A handler accepts by [`Takeover::accept`] and the answer passes every
//! layer on its way out, so that it has all the headers others have; the server then
//! takes the socket from the library and goes on with it. Only HTTP/1.1 has a connection
//! to hand over: what has none is served by the library, as ever.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, header};
use parking_lot::Mutex;

use super::idle::Idle;

/// A connection that is handed over.
#[derive(Debug)]
pub struct TakenConnection {
    /// The socket, and what came after the request.
    pub idle: Idle,
    /// Status and headers of the answer as the layers left them, without the empty line
    /// that ends them; nothing of it is sent yet.
    pub head: BytesMut,
}

/// What goes on with a connection; gives it back if it is to serve more requests.
pub type Continuation = Box<dyn FnOnce(TakenConnection) -> BoxFuture<'static, Option<Idle>> + Send>;

/// A request's chance to take its connection.
#[derive(Clone)]
pub struct Takeover {
    slot: Arc<Slot>,
    head: Option<Bytes>,
}

/// Where a handler leaves what goes on.
#[derive(Default)]
pub struct Slot {
    onward: Mutex<Option<Continuation>>,
    head: Mutex<Option<BytesMut>>,
}

/// Marks the answer behind which somebody goes on.
#[derive(Clone)]
struct Accepted;

impl Takeover {
    /// A chance for a request; `head` is its head as it came, where that is known for certain.
    pub fn new(slot: &Arc<Slot>, head: Option<Bytes>) -> Self {
        Self { slot: Arc::clone(slot), head }
    }

    /// The chance a request has, if it has one: an answer to `HEAD` has no body to go on with.
    pub fn of(parts: &mut Parts) -> Option<Self> {
        parts.extensions.remove::<Self>().filter(|_| parts.method == Method::GET)
    }

    /// The request's head, byte for byte, to know a repeat by. It is never parsed again.
    pub fn head(&self) -> Option<&Bytes> {
        self.head.as_ref()
    }

    /// Takes the connection once `answer` has passed the layers.
    pub fn accept<B>(self, mut answer: Response<B>, onward: Continuation) -> Response<B> {
        *self.slot.onward.lock() = Some(onward);
        answer.extensions_mut().insert(Accepted);
        answer
    }
}

impl Slot {
    /// Whether the connection is taken behind `answer`, which is kept then.
    pub fn keep<B>(&self, answer: &Response<B>) -> bool {
        let is_accepted = answer.extensions().get::<Accepted>().is_some();
        if is_accepted {
            *self.head.lock() = Some(head_of(answer));
        } else {
            // A layer has answered something else.
            self.onward.lock().take();
        }
        is_accepted
    }

    /// What goes on, and the answer it begins with.
    pub fn take(&self) -> Option<(Continuation, BytesMut)> {
        let head = self.head.lock().take()?;
        Some((self.onward.lock().take()?, head))
    }
}

fn head_of<B>(answer: &Response<B>) -> BytesMut {
    let mut head = BytesMut::with_capacity(512);
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    head.put_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    // How long it is, is for those to say who go on.
    put_headers(&mut head, answer.headers().iter().filter(|(name, _)| **name != header::CONTENT_LENGTH));
    head
}

fn put_headers<'a>(out: &mut BytesMut, headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) {
    for (name, value) in headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;

    fn parts(method: &str, slot: &Arc<Slot>) -> Parts {
        let mut request = Request::builder().method(method).header("host", "x").body(()).unwrap();
        request.extensions_mut().insert(Takeover::new(slot, None));
        request.into_parts().0
    }

    fn onward() -> Continuation {
        Box::new(|_| Box::pin(async { None }))
    }

    #[test]
    fn what_is_accepted_is_taken_with_the_head_the_layers_left() {
        let slot = Arc::<Slot>::default();
        let handover = Takeover::of(&mut parts("GET", &slot)).unwrap();
        let mut answer = handover.accept(Response::new(()), onward());
        assert!(slot.take().is_none(), "the layers have not seen it yet");
        answer.headers_mut().insert("x-request-id", "7".parse().unwrap());
        answer.headers_mut().insert("content-length", "0".parse().unwrap());
        assert!(slot.keep(&answer));
        let (_, head) = slot.take().unwrap();
        assert_eq!(&head[..], b"HTTP/1.1 200 OK\r\nx-request-id: 7\r\n");
        assert!(slot.take().is_none());
    }

    #[test]
    fn another_answer_takes_the_chance_away() {
        let slot = Arc::<Slot>::default();
        let handover = Takeover::of(&mut parts("GET", &slot)).unwrap();
        let _ = handover.accept(Response::new(()), onward());
        let other = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(()).unwrap();
        assert!(!slot.keep(&other) && slot.take().is_none());
        assert!(slot.onward.lock().is_none());
    }

    #[test]
    fn only_a_get_has_a_body_to_go_on_with() {
        let slot = Arc::<Slot>::default();
        assert!(Takeover::of(&mut parts("HEAD", &slot)).is_none());
    }
}

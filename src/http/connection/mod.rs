//! One connection, from request to request: by the library, and by whoever takes it
//! over (see [`Handover`]).

pub mod handover;
pub mod idle;

mod rewound;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderName, Request, Response, Version};
use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::handover::{Handover, Onward, Slot, Taken};
use self::idle::{HEADERS_WITHIN, Idle};
use self::rewound::{Rewound, Unwritten};

/// A peer that vanished is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Requests are small; what does not fit is refused by its length anyway.
const BUFFER: usize = 64 * 1024;

/// How a client begins that speaks HTTP/2 without being asked (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Answers requests until the connection ends or a stop begins.
pub async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Answers are written whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let mut idle = Idle { io: stream, read: Bytes::new() };
    // In boxes, because each is needed for a moment and would else take up room for good.
    while let Some(ready) = Box::pin(idle.read(&stop)).await {
        if ready.read.starts_with(PREFACE) {
            return Box::pin(by_http2(ready, router, stop)).await;
        }
        let taken = Box::pin(by_http1(ready, router.clone(), &stop)).await;
        let Some((onward, taken)) = taken else { return };
        let Some(back) = onward(taken).await else { return };
        idle = back;
    }
}

async fn by_http2(idle: Idle, router: Router, stop: CancellationToken) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE);
    let io = Rewound::new(idle.io, idle.read, Unwritten::default());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), Requests::of(router, None)));
    // How a connection ended is the client's business.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Answers requests until the connection ends or is taken over.
async fn by_http1(idle: Idle, router: Router, stop: &CancellationToken) -> Option<(Onward, Taken)> {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(BUFFER);
    let (service, unwritten) = (Requests::of(router, idle.head()), Unwritten::default());
    let slot = Arc::clone(&service.slot);
    let io = Rewound::new(idle.io, idle.read, unwritten.clone());
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let mut stopping = Some(pin!(stop.cancelled()));
    let (onward, head) = poll_fn(|context| {
        if stopping.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready()) {
            stopping = None;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(context) {
            // How a connection ended is the client's business.
            Poll::Ready(_) => Poll::Ready(None),
            // The answers to what came before must have gone out.
            Poll::Pending if unwritten.is_some() => Poll::Pending,
            Poll::Pending => slot.take().map_or(Poll::Pending, |taken| Poll::Ready(Some(taken))),
        }
    })
    .await?;
    let parts = connection.into_parts();
    let (io, unseen) = parts.io.into_inner().into_parts();
    // A copy: the library's buffer is large, and this may be the last hold on it.
    let read = [parts.read_buf, unseen].concat().into();
    Some((onward, Taken { idle: Idle { io, read }, head }))
}

/// Whether the connection may be taken behind a request. What the library knows of one
/// is lost then: where a body ends, which would be read as another request, and that the
/// client wants no other.
fn may_be_taken(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && !says(request.headers(), CONNECTION, "close")
}

/// Whether one of a header's words is `word`.
#[must_use]
pub fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}

/// The router, as the library asks it.
struct Requests {
    router: Router,
    slot: Arc<Slot>,
    /// The first request's head; those of later ones have passed by unseen.
    first: Mutex<Option<Bytes>>,
}

impl Requests {
    fn of(router: Router, first: Option<Bytes>) -> Self {
        Self { router, slot: Arc::default(), first: Mutex::new(first) }
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let slot = Arc::clone(&self.slot);
        let may_be_taken = may_be_taken(&request);
        let mut request = request.map(Body::new);
        let raw = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if may_be_taken {
            let handover = Handover::new(&slot, request.uri().clone(), raw);
            request.extensions_mut().insert(handover);
        }
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move {
            let answer = answer.await?;
            if slot.keep(&answer) {
                // The library is left waiting, and then left.
                std::future::pending::<()>().await;
            }
            Ok(answer)
        })
    }
}

//! HTTP/1 by the library, until somebody else goes on with the connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::activity::Waiting;
use super::deadlines::ConnectionTimeouts;
use super::front::Handler;
use super::idle::Idle;
use super::idle_timer::IdleTimer;
use super::prefixed::PrefixedStream;
use super::requests::Requests;
use super::takeover::{Continuation, TakenConnection};

/// The longest head: a thousand names in a query fit.
const BUFFER: usize = 64 * 1024;

/// What becomes of a connection.
pub(super) enum Outcome {
    /// It has ended.
    Over,
    /// It has missed a deadline, by the name the metrics have for it.
    Late(&'static str),
    /// Somebody goes on with it.
    Taken(Continuation, TakenConnection),
    /// It waits for another request, and needs no library for that.
    Idle(Idle),
}

enum Pause {
    Late(&'static str),
    Taken(Continuation, bytes::BytesMut),
    Idle,
}

/// Answers requests until the connection ends, is taken over or waits.
pub(super) async fn serve<H: Handler>(
    idle: Idle,
    requests: Requests<H>,
    deadlines: ConnectionTimeouts,
    stop: &CancellationToken,
) -> Outcome {
    let (slot, activity) = (Arc::clone(&requests.slot), requests.activity.clone());
    // Then it is given back, so that a connection that waits for long holds no buffer.
    let unused = deadlines.head.min(deadlines.idle);
    let mut watch = IdleTimer::new(activity.clone(), deadlines, unused);
    let io = PrefixedStream::new(idle.io, idle.read, activity.clone());
    let mut connection = http1::Builder::new().max_buf_size(BUFFER).serve_connection(TokioIo::new(io), requests);
    let mut stopping = Some(pin!(stop.cancelled()));
    let pause = poll_fn(|context| {
        if stopping.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready()) {
            stopping = None;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if Pin::new(&mut connection).poll(context).is_ready() {
            // How a connection ended is the client's business.
            return Poll::Ready(None);
        }
        // The answers to what came before must have gone out.
        if !activity.is_stalled()
            && let Some((onward, head)) = slot.take()
        {
            return Poll::Ready(Some(Pause::Taken(onward, head)));
        }
        watch.poll(context).map(|waiting| match waiting {
            Waiting::First => Some(Pause::Late("head")),
            Waiting::Reader => Some(Pause::Late("write")),
            Waiting::Another | Waiting::Nothing => Some(Pause::Idle),
        })
    })
    .await;
    let taken = match pause {
        None => return Outcome::Over,
        Some(Pause::Late(reason)) => return Outcome::Late(reason),
        Some(Pause::Taken(onward, head)) => Some((onward, head)),
        Some(Pause::Idle) => None,
    };
    let parts = connection.into_parts();
    let (io, unseen) = parts.io.into_inner().into_parts();
    // A copy: the library's buffer is large, and this may be the last hold on it.
    let read = [parts.read_buf, unseen].concat().into();
    match taken {
        Some((onward, head)) => {
            Outcome::Taken(onward, TakenConnection { idle: Idle { io, read, wait: deadlines.idle }, head })
        }
        None => Outcome::Idle(Idle { io, read, wait: deadlines.idle.saturating_sub(unused) }),
    }
}

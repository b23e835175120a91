//! HTTP/2 by the library. Its connections are not taken over.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;

use super::activity::Waiting;
use super::deadlines::ConnectionTimeouts;
use super::front::Handler;
use super::idle::Idle;
use super::idle_timer::IdleTimer;
use super::prefixed::PrefixedStream;
use super::requests::Requests;
use super::stream_end::StreamExecutor;

/// A peer that vanished is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Answers requests until the connection ends; gives the deadline it has missed, by the
/// name the metrics have for it.
pub(super) async fn serve<H: Handler>(
    idle: Idle,
    requests: Requests<H>,
    deadlines: ConnectionTimeouts,
    stop: &CancellationToken,
) -> Option<&'static str> {
    let mut builder = http2::Builder::new(StreamExecutor { write: deadlines.write });
    builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE);
    let activity = requests.activity.clone();
    let mut watch = IdleTimer::new(activity.clone(), deadlines, deadlines.idle);
    let io = PrefixedStream::new(idle.io, idle.read, activity);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), requests));
    let mut stopping = Some(pin!(stop.cancelled()));
    let mut is_leaving = false;
    poll_fn(|context| {
        if stopping.as_mut().is_some_and(|stop| stop.as_mut().poll(context).is_ready()) {
            stopping = None;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            // How a connection ended is the client's business.
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match ready!(watch.poll(context)) {
                Waiting::First => return Poll::Ready(Some("head")),
                Waiting::Reader => return Poll::Ready(Some("write")),
                Waiting::Another | Waiting::Nothing if is_leaving => return Poll::Ready(None),
                // It is told, and has until the watch looks again to go.
                Waiting::Another | Waiting::Nothing => {
                    is_leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    })
    .await
}

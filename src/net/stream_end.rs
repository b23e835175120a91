//! The end of one HTTP/2 stream whose reader takes nothing.
//!
//! The library waits for room in a stream's window for as long as the connection lives.
//! So each stream is a task of ours that can be ended by itself: the others on the
//! connection may belong to other clients of the same proxy.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static CURRENT: StreamEnd;
}

/// Ends the stream of a request. Requests over HTTP/2 have it among their extensions.
#[derive(Debug, Clone, Default)]
pub struct StreamEnd(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    token: CancellationToken,
    is_answered: AtomicBool,
    is_handled: AtomicBool,
}

/// Runs streams, and ends those whose answers are not taken.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor {
    /// How long a reader may take nothing.
    pub(super) write: Duration,
}

impl StreamEnd {
    /// That of the request. Whoever takes it ends the stream when its time has come, for
    /// an answer that may have nothing to say for long.
    pub fn of(parts: &mut Parts) -> Option<Self> {
        let end = parts.extensions.remove::<Self>();
        if let Some(end) = &end {
            end.0.is_handled.store(true, Ordering::Relaxed);
        }
        end
    }

    /// Ends the stream, whatever is still to be written.
    pub fn end(&self) {
        self.0.token.cancel();
    }

    /// That of the stream whose task this is.
    pub(super) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The answer is there, and has to be taken from now on.
    pub(super) fn answered(&self) {
        self.0.is_answered.store(true, Ordering::Relaxed);
    }

    fn is_to_be_taken(&self) -> bool {
        self.0.is_answered.load(Ordering::Relaxed) && !self.0.is_handled.load(Ordering::Relaxed)
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(run(stream, self.write));
    }
}

/// Runs a stream until it is over, or ended.
async fn run(stream: impl Future<Output = ()>, write: Duration) {
    let end = StreamEnd::default();
    let mut cancelled = pin!(end.0.token.cancelled());
    let mut stream = pin!(CURRENT.scope(end.clone(), stream));
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        let is_late = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if is_late || cancelled.as_mut().poll(context).is_ready() || stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if end.is_to_be_taken() {
            // It was woken, so its reader has taken something.
            let timer = timer.get_or_insert_with(|| Box::pin(sleep(write)));
            timer.as_mut().reset(Instant::now() + write);
            if timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    })
    .await;
}

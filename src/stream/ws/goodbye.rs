//! The last words on a WebSocket.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::codec;
use super::socket::Socket;
use crate::stream::closed;
use crate::wire::close::Close;

/// Says why, and waits a little until that was heard.
pub async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    close: Close,
    mut timer: Pin<&mut Sleep>,
    by: Instant,
) {
    if close != Close::Normal {
        closed(close);
    }
    socket.send(codec::close(close));
    timer.as_mut().reset(by);
    poll_fn(|context| {
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        socket.poll_goodbye(context)
    })
    .await;
}

//! The three ways a subscriber follows a session. Each ends only with an error.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use tokio::sync::OwnedSemaphorePermit;

use super::subscriber::Subscriber;
use crate::net::chunks::Chunks;
use crate::net::frames::{Frames, Incoming, pong};
use crate::net::http::Http;
use crate::net::lines::Lines;
use crate::net::response::Head;
use crate::net::socket::{Arrival, Socket};
use crate::position::{Position, State};

/// Held while a stream is being opened.
pub type Permit = Option<OwnedSemaphorePermit>;

/// An opened stream: its head, and the bytes that came with it.
type Opened = (Socket, Head, Vec<u8>, Arrival);

pub async fn websocket(subscriber: &Subscriber, permit: Permit) -> io::Result<Infallible> {
    let (socket, _, rest, arrival) = open(subscriber, 101).await?;
    drop(permit);
    let mut frames = Frames::default();
    let mut take = |bytes: &[u8], arrival| {
        let mut flow = ControlFlow::Continue(());
        subscriber.took(bytes.len());
        frames.feed(bytes, |incoming| match incoming {
            Incoming::Text(text) => saw(subscriber, text, arrival),
            Incoming::Ping(payload) => socket.send_small(&pong(payload)),
            Incoming::Close(code) => flow = ControlFlow::Break(io::Error::other(format!("closed with {code}"))),
        });
        flow
    };
    if let ControlFlow::Break(error) = take(&rest, arrival) {
        return Err(error);
    }
    Err(socket.receive(take).await?)
}

pub async fn events(subscriber: &Subscriber, permit: Permit) -> io::Result<Infallible> {
    let (socket, head, rest, arrival) = open(subscriber, 200).await?;
    drop(permit);
    let (mut chunks, mut lines) = (Chunks::default(), Lines::default());
    let mut take = |bytes: &[u8], arrival| {
        subscriber.took(bytes.len());
        if head.is_chunked {
            // This buffer is small and short-lived, unlike the buffers of a waiting stream.
            let mut plain = Vec::with_capacity(bytes.len());
            chunks.decode(bytes, &mut plain);
            lines.feed(&plain, |frame| saw(subscriber, frame, arrival));
        } else {
            lines.feed(bytes, |frame| saw(subscriber, frame, arrival));
        }
        let ended = || ControlFlow::Break(io::Error::other("the stream of events ended"));
        if chunks.is_done() { ended() } else { ControlFlow::Continue(()) }
    };
    if let ControlFlow::Break(error) = take(&rest, arrival) {
        return Err(error);
    }
    Err(socket.receive(take).await?)
}

pub async fn polls(subscriber: &Subscriber, permit: Permit) -> io::Result<Infallible> {
    let mut http = Http::new(address(subscriber), subscriber.spec.from);
    // The first answer comes at once; after a reconnect it may take half a minute.
    let mut permit = permit.filter(|_| last(subscriber).is_none());
    loop {
        let is_first = last(subscriber).is_none();
        if !is_first {
            subscriber.opened();
        }
        let (response, arrival) = http.call(&subscriber.request()).await?;
        if response.status() != 200 {
            return Err(io::Error::other(format!("a poll was answered with {}", response.status())));
        }
        permit.take();
        subscriber.took(response.body().len());
        for position in Position::of_poll(response.body()) {
            // The newest stands in an answer twice, and once in one that timed out.
            let is_known = last(subscriber) >= Some(position);
            subscriber.saw(State { position, is_sync: is_first || is_known }, arrival);
        }
    }
}

fn last(subscriber: &Subscriber) -> Option<Position> {
    subscriber.record.with(|record| record.last(subscriber.place))
}

fn saw(subscriber: &Subscriber, frame: &[u8], arrival: Arrival) {
    if let Some(state) = State::read(frame) {
        subscriber.saw(state, arrival);
    }
}

async fn open(subscriber: &Subscriber, status: u16) -> io::Result<Opened> {
    let socket = Socket::connect(address(subscriber), subscriber.spec.from).await?;
    socket.send(&subscriber.request()).await?;
    let mut bytes = Vec::new();
    let take = |more: &[u8], arrival| {
        bytes.extend_from_slice(more);
        match Head::read(&bytes) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some((head, length))) => ControlFlow::Break(Ok((head, bytes.split_off(length), arrival))),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    };
    let (head, rest, arrival) = socket.receive(take).await??;
    if head.status != status {
        return Err(io::Error::other(format!("a stream was answered with {}", head.status)));
    }
    subscriber.opened();
    Ok((socket, head, rest, arrival))
}

fn address(subscriber: &Subscriber) -> SocketAddr {
    subscriber.plan.target.instance(subscriber.spec.instance)
}

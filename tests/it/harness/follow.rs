//! One end of a session's stream on any transport: a client with as little of its own
//! as can be, so that thousands fit beside the server.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::raw::KeepAliveConnection;
use super::{Session, soon};

/// What a session is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    WebSocket,
    EventStream,
    Poll,
}

impl By {
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::EventStream, Self::Poll];
}

/// Whose stream, where, and as whom.
#[derive(Debug, Clone)]
pub struct Whose {
    pub address: SocketAddr,
    pub path: String,
    pub authorization: String,
}

/// What was told.
#[derive(Debug, Clone)]
pub struct ReceivedFrame {
    pub kind: String,
    /// Epoch and version, where the frame has them.
    pub position: Option<(i64, u64)>,
}

enum Line {
    WebSocket(Box<WebSocketStream<TcpStream>>),
    EventStream(KeepAliveConnection),
    Poll { kept: KeepAliveConnection, since: Option<String>, waiting: VecDeque<ReceivedFrame> },
}

/// One end of a stream.
pub struct Follower {
    whose: Whose,
    line: Line,
}

impl Whose {
    pub fn new(address: SocketAddr, session: &Session, authorization: String) -> Self {
        Self { address, path: session.path(), authorization }
    }

    /// Follows from `last` on. A poll that is given none has its first answer at once.
    pub async fn follow(&self, by: By, last: Option<&str>) -> Follower {
        let line = match by {
            By::WebSocket => Line::WebSocket(Box::new(self.websocket(last).await)),
            By::EventStream => Line::EventStream(self.event_stream(last).await),
            By::Poll => {
                let (kept, waiting) = (KeepAliveConnection::open(self.address).await, VecDeque::new());
                Line::Poll { kept, since: last.map(str::to_owned), waiting }
            }
        };
        Follower { whose: self.clone(), line }
    }

    async fn websocket(&self, last: Option<&str>) -> WebSocketStream<TcpStream> {
        let last = last.map(|last| format!("&last={last}")).unwrap_or_default();
        let uri = format!("ws://{}{}/ws?warnings=0{last}", self.address, self.path);
        let mut request = uri.into_client_request().unwrap();
        request.headers_mut().insert("authorization", self.authorization.parse().unwrap());
        let small =
            WebSocketConfig::default().read_buffer_size(1_024).write_buffer_size(0).max_write_buffer_size(1_024);
        let stream = soon("a connection", TcpStream::connect(self.address)).await.unwrap();
        soon("an upgrade", client_async_with_config(request, stream, Some(small))).await.unwrap().0
    }

    async fn event_stream(&self, last: Option<&str>) -> KeepAliveConnection {
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let mut kept = KeepAliveConnection::open(self.address).await;
        kept.ask(&format!("{}/events?warnings=0", self.path), &self.authorization, &last).await;
        // It has no length, so no body is taken for it.
        assert_eq!(soon("an answer", kept.answer()).await.unwrap().status, 200);
        kept
    }

    async fn poll(&self, kept: &mut KeepAliveConnection, since: Option<&str>, timeout_ms: u32) {
        let since = since.map(|since| format!("since={since}&")).unwrap_or_default();
        kept.ask(&format!("{}/poll?{since}timeout_ms={timeout_ms}", self.path), &self.authorization, "").await;
    }
}

impl ReceivedFrame {
    fn of(text: &str) -> Self {
        let head = text.split(",\"payload\"").next().unwrap_or_default();
        let (kind, position) = (field(head, "type").unwrap_or_default().to_owned(), field(head, "position"));
        let position = position.map(position_in);
        Self { kind, position }
    }

    pub fn version(&self) -> u64 {
        self.position.map_or(0, |(_, version)| version)
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = head.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// A position's parts.
pub fn position_in(text: &str) -> (i64, u64) {
    let (epoch, version) = text.split_once('-').unwrap();
    (epoch.parse().unwrap(), version.parse().unwrap())
}

impl Follower {
    /// What is told next; a poll that ends in time counts as a `HEARTBEAT`. `None` at the end.
    pub async fn next(&mut self) -> Option<ReceivedFrame> {
        match &mut self.line {
            Line::WebSocket(stream) => loop {
                match stream.next().await?.ok()? {
                    Message::Text(text) => return Some(ReceivedFrame::of(&text)),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
            Line::EventStream(kept) => loop {
                // Sizes of chunks, names and ids stand between; the last chunk is empty.
                let text = kept.line().await.filter(|line| line != "0")?;
                if let Some(data) = text.strip_prefix("data: ") {
                    return Some(ReceivedFrame::of(data));
                }
            },
            Line::Poll { waiting, .. } if !waiting.is_empty() => waiting.pop_front(),
            Line::Poll { .. } => self.poll().await,
        }
    }

    async fn poll(&mut self) -> Option<ReceivedFrame> {
        let body = self.answer().await?;
        let Line::Poll { waiting, .. } = &mut self.line else { unreachable!("only polls ask") };
        let answer: Value = serde_json::from_str(&body).unwrap();
        for event in answer["events"].as_array().unwrap() {
            let (kind, position) = (event["type"].as_str().unwrap(), event["position"].as_str().unwrap());
            let position = Some(position_in(position));
            waiting.push_back(ReceivedFrame { kind: kind.to_owned(), position });
        }
        let newest = position_in(answer["position"].as_str().unwrap());
        if waiting.back().is_none_or(|last| last.position != Some(newest)) {
            let kind = if answer["timed_out"] == true { "HEARTBEAT" } else { "STATE_SYNC" };
            waiting.push_back(ReceivedFrame { kind: kind.to_owned(), position: Some(newest) });
        }
        waiting.pop_front()
    }

    /// The body a poll is answered with; the next asks from there on.
    async fn answer(&mut self) -> Option<String> {
        let Line::Poll { kept, since, .. } = &mut self.line else { unreachable!("only polls ask") };
        self.whose.poll(kept, since.as_deref(), 1_000).await;
        let said = kept.answer().await?;
        let body = String::from_utf8(said.body).unwrap();
        assert_eq!(said.status, 200, "{body}");
        *since = field(&body, "position").map(str::to_owned);
        Some(body)
    }

    /// Reads until that version was told, and looks at nothing else.
    pub async fn until_version(&mut self, version: u64) {
        loop {
            let seen = match &self.line {
                Line::Poll { .. } => position_in(field(&self.answer().await.unwrap(), "position").unwrap()).1,
                _ => self.next().await.expect("the stream goes on").version(),
            };
            if seen >= version {
                return;
            }
        }
    }

    /// Asks for the first time, where following alone does not: a poll is then known to
    /// wait once the server says so.
    pub async fn park(&mut self) {
        if let Line::Poll { kept, since, .. } = &mut self.line {
            let since = since.as_deref().expect("a poll waits for what comes after a position");
            self.whose.poll(kept, Some(since), 60_000).await;
        }
    }
}

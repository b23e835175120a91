//! One end of a session's stream on any transport: a client with as little of its own
//! as can be, so that thousands fit beside the server.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

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
pub struct Seen {
    pub kind: String,
    /// Epoch and version, where the frame has them.
    pub position: Option<(i64, u64)>,
}

enum Line {
    WebSocket(Box<WebSocketStream<TcpStream>>),
    EventStream(BufReader<TcpStream>),
    Poll { stream: BufReader<TcpStream>, since: Option<String>, waiting: VecDeque<Seen> },
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
        let stream = soon("a connection", TcpStream::connect(self.address)).await.unwrap();
        // A stream is small while nothing comes; a line may be as long as it likes.
        let reader = |stream| BufReader::with_capacity(1_024, stream);
        let line = match by {
            By::WebSocket => Line::WebSocket(Box::new(self.websocket(stream, last).await)),
            By::EventStream => Line::EventStream(self.event_stream(reader(stream), last).await),
            By::Poll => Line::Poll { stream: reader(stream), since: last.map(str::to_owned), waiting: VecDeque::new() },
        };
        Follower { whose: self.clone(), line }
    }

    async fn websocket(&self, stream: TcpStream, last: Option<&str>) -> WebSocketStream<TcpStream> {
        let last = last.map(|last| format!("&last={last}")).unwrap_or_default();
        let uri = format!("ws://{}{}/ws?warnings=0{last}", self.address, self.path);
        let mut request = uri.into_client_request().unwrap();
        request.headers_mut().insert("authorization", self.authorization.parse().unwrap());
        let small =
            WebSocketConfig::default().read_buffer_size(1_024).write_buffer_size(0).max_write_buffer_size(1_024);
        soon("an upgrade", client_async_with_config(request, stream, Some(small))).await.unwrap().0
    }

    async fn event_stream(&self, mut stream: BufReader<TcpStream>, last: Option<&str>) -> BufReader<TcpStream> {
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        self.ask(&mut stream, "/events?warnings=0", &last).await;
        let (status, _) = head(&mut stream).await;
        assert_eq!(status, 200);
        stream
    }

    async fn ask(&self, stream: &mut BufReader<TcpStream>, rest: &str, more: &str) {
        let Self { address, path, authorization } = self;
        let request =
            format!("GET {path}{rest} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n{more}\r\n");
        stream.get_mut().write_all(request.as_bytes()).await.unwrap();
    }
}

/// Status and length of the body of what is answered.
async fn head(stream: &mut BufReader<TcpStream>) -> (u16, usize) {
    let status = line(stream).await.expect("a status line");
    let mut length = 0;
    while let Some(header) = line(stream).await.filter(|header| !header.is_empty()) {
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    (status.split(' ').nth(1).unwrap().parse().unwrap(), length)
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.unwrap_or_default();
    (read > 0).then(|| line.trim_end().to_owned())
}

impl Seen {
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
    pub async fn next(&mut self) -> Option<Seen> {
        match &mut self.line {
            Line::WebSocket(stream) => loop {
                match stream.next().await?.ok()? {
                    Message::Text(text) => return Some(Seen::of(&text)),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
            Line::EventStream(stream) => loop {
                // Sizes of chunks, names and ids stand between; the last chunk is empty.
                let text = line(stream).await.filter(|line| line != "0")?;
                if let Some(data) = text.strip_prefix("data: ") {
                    return Some(Seen::of(data));
                }
            },
            Line::Poll { waiting, .. } if !waiting.is_empty() => waiting.pop_front(),
            Line::Poll { .. } => self.poll().await,
        }
    }

    async fn poll(&mut self) -> Option<Seen> {
        let body = self.answer().await?;
        let Line::Poll { waiting, .. } = &mut self.line else { unreachable!("only polls ask") };
        let answer: Value = serde_json::from_str(&body).unwrap();
        for event in answer["events"].as_array().unwrap() {
            let (kind, position) = (event["type"].as_str().unwrap(), event["position"].as_str().unwrap());
            let position = Some(position_in(position));
            waiting.push_back(Seen { kind: kind.to_owned(), position });
        }
        let newest = position_in(answer["position"].as_str().unwrap());
        if waiting.back().is_none_or(|last| last.position != Some(newest)) {
            let kind = if answer["timed_out"] == true { "HEARTBEAT" } else { "STATE_SYNC" };
            waiting.push_back(Seen { kind: kind.to_owned(), position: Some(newest) });
        }
        waiting.pop_front()
    }

    /// The body a poll is answered with; the next asks from there on.
    async fn answer(&mut self) -> Option<String> {
        let Line::Poll { stream, since, .. } = &mut self.line else { unreachable!("only polls ask") };
        let asked = since.as_ref().map(|since| format!("since={since}&")).unwrap_or_default();
        self.whose.ask(stream, &format!("/poll?{asked}timeout_ms=1000"), "").await;
        let (status, length) = head(stream).await;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{body}");
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
        if let Line::Poll { stream, since, .. } = &mut self.line {
            let asked = since.as_ref().expect("a poll waits for what comes after a position");
            self.whose.ask(stream, &format!("/poll?since={asked}&timeout_ms=60000"), "").await;
        }
    }
}

//! A watcher as they are: it follows a session by one transport, comes back with its last
//! position when it is cut off or hears nothing, at another door, and writes down what it
//! sees.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Map, Value};
use synckairos::domain::position::Position;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::client::got;
use crate::harness::caller::Client as Http;
use crate::harness::follow::By;
use crate::harness::history::{FrameRecord, Recorder, ShownSession};
use crate::harness::process::Host;

/// Heartbeats are asked for every two seconds: who hears none for so long is cut off.
const SILENCE: Duration = Duration::from_millis(4_500);

/// Nobody waits longer for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A command for the watcher's socket, and whom to tell the answer.
pub struct SocketCommand {
    pub frame: Map<String, Value>,
    pub answered: oneshot::Sender<Value>,
}

pub struct Watcher {
    pub name: String,
    pub session: String,
    pub by: By,
    pub doors: Arc<[SocketAddr]>,
    pub door: usize,
    pub http: Http,
    pub recorder: Recorder,
    pub last: watch::Sender<Option<Position>>,
    pub commands: mpsc::Receiver<SocketCommand>,
}

impl Watcher {
    /// Follows for as long as it is let.
    pub async fn follow(mut self) {
        loop {
            let address = self.doors[self.door];
            match self.by {
                By::WebSocket => self.websocket(address).await,
                By::EventStream => self.event_stream(address).await,
                By::Poll => self.polls(address).await,
            };
            // What was to be said there is not said elsewhere.
            while self.commands.try_recv().is_ok() {}
            self.door = (self.door + 1) % self.doors.len();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn opened(&self) {
        let last = *self.last.borrow();
        self.recorder.see(FrameRecord::opened(&self.name, self.transport(), self.door, &self.session, last));
    }

    const fn transport(&self) -> &'static str {
        match self.by {
            By::WebSocket => "ws",
            By::EventStream => "sse",
            By::Poll => "poll",
        }
    }

    fn saw(&self, frame: &Value) {
        let seen = FrameRecord::of(&self.name, self.transport(), self.door, &self.session, frame);
        if seen.position.is_none() || seen.kind == "HEARTBEAT" {
            return;
        }
        let position = seen.position;
        self.recorder.see(seen);
        self.last.send_if_modified(|last| {
            let is_newer = position > *last;
            *last = position.max(*last);
            is_newer
        });
    }

    fn since(&self, name: &str) -> String {
        self.last.borrow().map(|last| format!("&{name}={last}")).unwrap_or_default()
    }

    async fn websocket(&mut self, address: SocketAddr) -> Option<()> {
        let path = format!("/v1/sessions/{}/ws?warnings=0&heartbeat_ms=2000{}", self.session, self.since("last"));
        let mut request = format!("ws://{address}{path}").into_client_request().ok()?;
        request.headers_mut().insert("authorization", Host::authorization().parse().ok()?);
        let opening = async {
            let stream = TcpStream::connect(address).await.ok()?;
            Some(client_async(request, stream).await.ok()?.0)
        };
        let mut stream = timeout(CONNECT_TIMEOUT, opening).await.ok()??;
        self.opened();
        let mut asked: Vec<(String, oneshot::Sender<Value>)> = Vec::new();
        for number in 0.. {
            tokio::select! {
                frame = timeout(SILENCE, stream.next()) => match frame.ok()??.ok()? {
                    Message::Text(text) => self.heard(serde_json::from_str(&text).ok()?, &mut asked),
                    Message::Close(_) => return None,
                    _ => {}
                },
                Some(SocketCommand { mut frame, answered }) = self.commands.recv() => {
                    frame.insert("id".to_owned(), number.to_string().into());
                    asked.push((number.to_string(), answered));
                    stream.send(Message::text(Value::Object(frame).to_string())).await.ok()?;
                }
            }
        }
        None
    }

    fn heard(&self, frame: Value, asked: &mut Vec<(String, oneshot::Sender<Value>)>) {
        let id = frame["id"].as_str().map(str::to_owned);
        match id.and_then(|id| asked.iter().position(|(each, _)| *each == id)) {
            Some(place) => drop(asked.remove(place).1.send(frame)),
            None => self.saw(&frame),
        }
    }

    async fn event_stream(&mut self, address: SocketAddr) -> Option<()> {
        let path = format!("/v1/sessions/{}/events?warnings=0&heartbeat_ms=2000{}", self.session, self.since("last"));
        let request = Request::builder().method(Method::GET).uri(format!("http://{address}{path}"));
        let request = request.header("authorization", Host::authorization()).body(Full::new(Bytes::new())).ok()?;
        let answer = timeout(CONNECT_TIMEOUT, self.http.request(request)).await.ok()?.ok()?;
        if answer.status() != 200 {
            return None;
        }
        self.opened();
        let (mut body, mut unread) = (answer.into_body(), BytesMut::new());
        loop {
            let piece = timeout(SILENCE, body.frame()).await.ok()??.ok()?;
            unread.extend_from_slice(piece.data_ref()?);
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line = unread.split_to(end);
                unread.advance(1);
                if let Some(data) = line.strip_prefix(b"data: ") {
                    self.saw(&serde_json::from_slice(data).ok()?);
                }
            }
        }
    }

    async fn polls(&mut self, address: SocketAddr) -> Option<()> {
        self.opened();
        loop {
            let path = format!("/v1/sessions/{}/poll?timeout_ms=2000{}", self.session, self.since("since"));
            let answer = got(&self.http, address, &path).await?;
            for event in answer["events"].as_array()? {
                self.saw(event);
            }
            let newest: Position = answer["position"].as_str()?.parse().ok()?;
            if Some(newest) > *self.last.borrow() {
                let frame = serde_json::json!({
                    "type": "STATE_SYNC", "position": ShownSession::of(&answer["session"])?.position.to_string(),
                    "payload": answer["session"],
                });
                self.saw(&frame);
            }
        }
    }
}

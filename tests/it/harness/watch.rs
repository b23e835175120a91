//! Watchers: clients that follow sessions on a stream.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::caller::Caller;
use super::{Session, soon};

/// What a watcher follows by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
}

/// A watcher to be.
pub struct Watching {
    caller: Caller,
    path: String,
    origin: Option<String>,
}

impl Watching {
    pub fn of(caller: Caller, session: &Session) -> Self {
        Self::at(caller, &format!("{}/ws", session.path()))
    }

    /// Many sessions on one stream.
    pub fn many(caller: Caller) -> Self {
        Self::at(caller, "/v1/ws")
    }

    /// What is upgraded at that path.
    pub fn at(caller: Caller, path: &str) -> Self {
        Self { caller, path: path.to_owned(), origin: None }
    }

    pub fn asking(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    /// For a page of that origin.
    pub fn of_page(self, origin: Option<&str>) -> Self {
        Self { origin: origin.map(str::to_owned), ..self }
    }

    /// A watcher that is let in.
    pub async fn over(self, transport: Transport) -> Watcher {
        match self.attempt(transport).await {
            Ok(watcher) => watcher,
            Err(status) => panic!("refused before the upgrade with {status}"),
        }
    }

    /// A watcher, or the status it is refused with before the upgrade.
    pub async fn attempt(self, transport: Transport) -> Result<Watcher, u16> {
        match transport {
            Transport::WebSocket => websocket(&self).await,
        }
    }
}

async fn websocket(Watching { caller, path, origin }: &Watching) -> Result<Watcher, u16> {
    let mut request = format!("ws://{}{path}", caller.address()).into_client_request().unwrap();
    if let Some(token) = caller.token() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    match soon("an upgrade", connect_async(request)).await {
        Ok((stream, _)) => Ok(Watcher { stream }),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// One end of a stream.
pub struct Watcher {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Watcher {
    /// The next frame that is no heartbeat.
    pub async fn next(&mut self) -> Value {
        let coming = async {
            loop {
                let frame = self.next_of_any_kind().await;
                if frame["type"] != "HEARTBEAT" {
                    return frame;
                }
            }
        };
        soon("a frame that is no heartbeat", coming).await
    }

    pub async fn next_of_any_kind(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).unwrap()
    }

    /// The next frame as it came.
    pub async fn next_text(&mut self) -> String {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a frame, not {other:?}"),
            }
        }
    }

    /// The next frame of that type; what comes before it is let pass.
    pub async fn until(&mut self, kind: &str) -> Value {
        let coming = async {
            loop {
                let frame = self.next_of_any_kind().await;
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        soon(kind, coming).await
    }

    /// The next state at that version or a later one.
    pub async fn until_version(&mut self, version: u64) -> Value {
        loop {
            let frame = self.next().await;
            if frame["payload"]["version"].as_u64().is_some_and(|seen| seen >= version) {
                return frame;
            }
        }
    }

    pub async fn say(&mut self, frame: Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub async fn send(&mut self, message: Message) {
        soon("a frame to be taken", self.stream.send(message)).await.unwrap();
    }

    /// Says `frame` with an id, and gives what answers it.
    pub async fn ask(&mut self, mut frame: Value) -> Value {
        frame["id"] = json!("asked");
        self.say(frame).await;
        loop {
            let answer = self.next().await;
            if answer["id"] == "asked" {
                return answer;
            }
        }
    }

    /// The code it is closed with, whatever comes before.
    pub async fn until_closed(&mut self) -> u16 {
        let mut code = 0;
        while let Some(Ok(message)) = soon("a close", self.stream.next()).await {
            if let Message::Close(Some(frame)) = message {
                code = frame.code.into();
            }
        }
        code
    }
}

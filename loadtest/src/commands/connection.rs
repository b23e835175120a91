//! A connection to one instance that commands go over.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::failure::Failure;
use crate::net::http::Http;
use crate::position::Position;
use crate::session::refusal;
use crate::target::Target;
use crate::websocket;

/// The transport of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Over {
    /// Requests on keep-alive connections.
    Http,
    /// `COMMAND` frames on WebSockets.
    Ws,
}

pub enum Lane {
    Http(Http),
    Ws(Box<Frames>),
}

/// What a command was answered with.
#[derive(Debug)]
pub enum Told {
    /// It is done, and the session stands there now.
    At(Position),
    /// It is not, and why.
    Refused(String),
}

/// A WebSocket that follows no session: only answers come over it.
pub struct Frames {
    to: SocketAddr,
    stream: Option<WebSocketStream<tokio::net::TcpStream>>,
    asked: u64,
}

impl Lane {
    pub fn new(over: Over, to: SocketAddr) -> Self {
        match over {
            Over::Http => Self::Http(Http::new(to, None)),
            Over::Ws => Self::Ws(Box::new(Frames { to, stream: None, asked: 0 })),
        }
    }

    pub async fn switch(&mut self, target: &Target, session: &str) -> Result<Told, Failure> {
        match self {
            Self::Http(http) => switch(http, target, session).await,
            Self::Ws(frames) => frames.switch(target, session).await,
        }
    }
}

async fn switch(http: &mut Http, target: &Target, session: &str) -> Result<Told, Failure> {
    let (response, _) = http.call(&target.command(session, "switch")).await?;
    let made = Position::of_answer(response.body()).filter(|_| response.status() == 200);
    Ok(made.map_or_else(|| Told::Refused(refusal(response)), Told::At))
}

impl Frames {
    async fn switch(&mut self, target: &Target, session: &str) -> Result<Told, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => websocket::connect(target, self.to, "/v1/ws").await?,
        };
        self.asked += 1;
        let command = json!({"type": "COMMAND", "id": self.asked, "session_id": session, "command": "switch"});
        stream.send(Message::text(command.to_string())).await.map_err(Box::new)?;
        let told = answer(&mut stream).await?;
        // Only a connection that answered is asked again.
        self.stream = Some(stream);
        Ok(told)
    }
}

/// One command is under way at a time, so the next answer is its.
async fn answer(stream: &mut WebSocketStream<tokio::net::TcpStream>) -> Result<Told, Failure> {
    while let Some(message) = stream.next().await {
        let Message::Text(text) = message.map_err(Box::new)? else { continue };
        if text.starts_with("{\"type\":\"ACK\"") {
            let made = Position::of_answer(text.as_bytes());
            return Ok(made.map_or_else(|| Told::Refused("an ACK without a position".to_owned()), Told::At));
        }
        if text.starts_with("{\"type\":\"ERROR\"") {
            let frame: Value = serde_json::from_str(&text)?;
            return Ok(Told::Refused(format!(
                "ERROR {}",
                frame["payload"]["code"].as_str().unwrap_or("without a code")
            )));
        }
    }
    Err(Failure::Deployment("the end of a WebSocket, where it should have answered".to_owned()))
}

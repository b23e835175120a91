//! A connection to one instance, for commands.

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
pub enum CommandTransport {
    /// Requests on keep-alive connections.
    Http,
    /// `COMMAND` frames on WebSockets.
    Ws,
}

pub enum CommandConnection {
    Http(Http),
    Ws(Box<Frames>),
}

/// The answer to a command.
#[derive(Debug)]
pub enum CommandAnswer {
    /// It was applied, at this position.
    Applied(Position),
    /// It was refused, and why.
    Refused(String),
}

/// A WebSocket that follows no session: it receives only answers.
pub struct Frames {
    to: SocketAddr,
    stream: Option<WebSocketStream<tokio::net::TcpStream>>,
    sent_count: u64,
}

impl CommandConnection {
    pub fn new(over: CommandTransport, to: SocketAddr) -> Self {
        match over {
            CommandTransport::Http => Self::Http(Http::new(to, None)),
            CommandTransport::Ws => Self::Ws(Box::new(Frames { to, stream: None, sent_count: 0 })),
        }
    }

    pub async fn switch(&mut self, target: &Target, session: &str) -> Result<CommandAnswer, Failure> {
        match self {
            Self::Http(http) => switch(http, target, session).await,
            Self::Ws(frames) => frames.switch(target, session).await,
        }
    }
}

async fn switch(http: &mut Http, target: &Target, session: &str) -> Result<CommandAnswer, Failure> {
    let (response, _) = http.call(&target.command(session, "switch")).await?;
    let made = Position::of_answer(response.body()).filter(|_| response.status() == 200);
    Ok(made.map_or_else(|| CommandAnswer::Refused(refusal(response)), CommandAnswer::Applied))
}

impl Frames {
    async fn switch(&mut self, target: &Target, session: &str) -> Result<CommandAnswer, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => websocket::connect(target, self.to, "/v1/ws").await?,
        };
        self.sent_count += 1;
        let command = json!({"type": "COMMAND", "id": self.sent_count, "session_id": session, "command": "switch"});
        stream.send(Message::text(command.to_string())).await.map_err(Box::new)?;
        let answer = answer(&mut stream).await?;
        // Only a connection that answered is used again.
        self.stream = Some(stream);
        Ok(answer)
    }
}

/// One command is under way at a time, so the next answer belongs to it.
async fn answer(stream: &mut WebSocketStream<tokio::net::TcpStream>) -> Result<CommandAnswer, Failure> {
    while let Some(message) = stream.next().await {
        let Message::Text(text) = message.map_err(Box::new)? else { continue };
        if text.starts_with("{\"type\":\"ACK\"") {
            let made = Position::of_answer(text.as_bytes());
            return Ok(made.map_or_else(
                || CommandAnswer::Refused("an ACK without a position".to_owned()),
                CommandAnswer::Applied,
            ));
        }
        if text.starts_with("{\"type\":\"ERROR\"") {
            let frame: Value = serde_json::from_str(&text)?;
            return Ok(CommandAnswer::Refused(format!(
                "ERROR {}",
                frame["payload"]["code"].as_str().unwrap_or("without a code")
            )));
        }
    }
    Err(Failure::Deployment("the end of a WebSocket, where it should have answered".to_owned()))
}

//! A reader of server-sent events.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::soon;

/// One end of an event stream.
pub struct Events(pub BufReader<TcpStream>);

/// One event.
#[derive(Debug, Default)]
pub struct Event {
    pub id: Option<String>,
    pub kind: String,
    pub data: Value,
}

impl Events {
    pub async fn open(caller: &Caller, path: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(caller.address()).await.unwrap();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let token = caller.token().unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self(BufReader::new(stream));
        assert!(events.line().await.unwrap().starts_with("HTTP/1.1 200"));
        while !events.line().await.unwrap().is_empty() {}
        events
    }

    /// A line, sizes of chunks included; `None` at the end.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon("a line of a stream", self.0.read_line(&mut line)).await.unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event that is no heartbeat; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.next_of_any_kind().await?;
            if event.kind != "HEARTBEAT" {
                return Some(event);
            }
        }
    }

    pub async fn next_of_any_kind(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            // The last chunk of a body is empty.
            let line = self.line().await.filter(|line| line != "0")?;
            match line.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("data", data)) => {
                    event.data = serde_json::from_str(data).unwrap();
                    return Some(event);
                }
                _ => {}
            }
        }
    }
}

//! WebSocket bytes: our reader of frames and the library's socket must find the same messages in them.

use std::io::{self, Read, Write};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::first;
use crate::stream::ws::codec::{Decoder, Incoming, MAX_MESSAGE};
use crate::wire::close::Close;

/// What was found in the bytes.
#[derive(Debug, PartialEq)]
struct Reading {
    messages: Vec<Parsed>,
    end: Ending,
}

/// A message, as far as both keep it.
#[derive(Debug, PartialEq)]
enum Parsed {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close,
}

/// What came after the last message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    /// More bytes are waited for, or there was a goodbye.
    Open,
    /// What came may not be sent.
    Refused,
    /// A text that is no UTF-8.
    NotText,
}

/// The first byte says in pieces of which size the rest arrives.
pub fn check(input: &[u8]) {
    let Some((size, bytes)) = first(input) else { return };
    let ours = ours(bytes, usize::from(size).max(1));
    let theirs = theirs(bytes);
    if let Err(why) = compared(&ours, &theirs, || self::theirs(&completed(bytes))) {
        panic!("{why}: ours {ours:?}, theirs {theirs:?}");
    }
}

/// Whether both say the same.
///
/// They may differ in when they refuse. We refuse a frame by its header, the library once all of it has come, which
/// `completed` shows. The library refuses a text by its first broken part, we at its end; until then other frames may
/// stand between.
fn compared(ours: &Reading, theirs: &Reading, completed: impl Fn() -> Reading) -> Result<(), &'static str> {
    let shared = theirs.messages.len().min(ours.messages.len());
    if ours.messages[..shared] != theirs.messages[..shared] {
        return Err("other messages");
    }
    if theirs.messages.len() > shared {
        return Err("a message less");
    }
    let is_data = |said: &Parsed| matches!(said, Parsed::Text(_) | Parsed::Binary);
    match (ours.end, theirs.end) {
        (_, Ending::NotText) if !ours.messages[shared..].iter().any(is_data) => Ok(()),
        _ if ours.messages.len() > shared => Err("a message more"),
        (Ending::Open, Ending::Open) => Ok(()),
        (Ending::Open, _) => Err("not refused"),
        (_, Ending::Open) => match completed() {
            Reading { end: Ending::Open, .. } => Err("refused without need"),
            Reading { messages, .. } if messages.len() > shared => Err("refused, and it is a message"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The bytes and what the frame at their end may lack.
fn completed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &vec![0; MAX_MESSAGE + 16]].concat()
}

fn ours(bytes: &[u8], size: usize) -> Reading {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            let said = match decoder.next() {
                Ok(None) => break,
                Ok(Some(Incoming::Fragment(_))) => continue,
                Ok(Some(Incoming::Text(text))) => Parsed::Text(text),
                Ok(Some(Incoming::Binary)) => Parsed::Binary,
                Ok(Some(Incoming::Ping(payload))) => Parsed::Ping(payload),
                Ok(Some(Incoming::Pong(payload))) => Parsed::Pong(payload),
                Ok(Some(Incoming::Close)) => Parsed::Close,
                Err(Close::NotText) => return Reading { messages, end: Ending::NotText },
                Err(_) => return Reading { messages, end: Ending::Refused },
            };
            let is_over = said == Parsed::Close;
            messages.push(said);
            if is_over {
                return Reading { messages, end: Ending::Open };
            }
        }
    }
    Reading { messages, end: Ending::Open }
}

fn theirs(bytes: &[u8]) -> Reading {
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocket::from_raw_socket(Arrived(bytes), Role::Server, Some(limits));
    let mut messages = Vec::new();
    loop {
        let said = match socket.read() {
            Ok(Message::Text(text)) => Parsed::Text(text.to_string()),
            Ok(Message::Binary(_)) => Parsed::Binary,
            Ok(Message::Ping(payload)) => Parsed::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Parsed::Pong(payload.to_vec()),
            Ok(Message::Close(Some(frame))) if is_rewritten(&frame) => {
                return Reading { messages, end: Ending::Refused };
            }
            Ok(Message::Close(_)) => {
                messages.push(Parsed::Close);
                return Reading { messages, end: Ending::Open };
            }
            // One part of a message is never handed out.
            Ok(Message::Frame(_)) => continue,
            Err(Error::Io(_)) => return Reading { messages, end: Ending::Open },
            Err(Error::Utf8(_)) => return Reading { messages, end: Ending::NotText },
            Err(_) => return Reading { messages, end: Ending::Refused },
        };
        messages.push(said);
    }
}

/// In place of a goodbye with a code that must not be sent, the library gives one of its own.
fn is_rewritten(frame: &CloseFrame) -> bool {
    frame.code == CloseCode::Protocol && frame.reason.as_str() == "Protocol violation"
}

/// Bytes that have arrived, on a connection that stays open.
struct Arrived<'a>(&'a [u8]);

impl Read for Arrived<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Arrived<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(texts: &[&str], end: Ending) -> Reading {
        Reading { messages: texts.iter().map(|text| Parsed::Text((*text).to_owned())).collect(), end }
    }

    #[test]
    fn each_difference_is_seen() {
        use Ending::{NotText, Open, Refused};
        for (ours, theirs, says) in [
            (reading(&["a"], Open), reading(&["b"], Open), "other messages"),
            (reading(&[], Refused), reading(&["a"], Open), "a message less"),
            (reading(&["a"], Open), reading(&[], Refused), "a message more"),
            (reading(&["a"], Open), reading(&[], NotText), "a message more"),
            (reading(&[], Open), reading(&[], Refused), "not refused"),
            (reading(&[], Refused), reading(&[], Open), "refused without need"),
        ] {
            assert_eq!(compared(&ours, &theirs, || reading(&[], Open)), Err(says), "{ours:?} {theirs:?}");
        }
        let late = compared(&reading(&[], Refused), &reading(&[], Open), || reading(&["a"], Refused));
        assert_eq!(late, Err("refused, and it is a message"));
        assert_eq!(compared(&reading(&[], Refused), &reading(&[], Open), || reading(&[], Refused)), Ok(()));
        assert_eq!(compared(&reading(&["a"], Refused), &reading(&["a"], Refused), || reading(&[], Open)), Ok(()));
    }
}

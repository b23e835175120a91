//! RFC 6455's frames, to and from bytes; no socket in sight.
//!
//! The library reads and writes headers. Its socket is not used: it keeps a buffer for each
//! direction and copies every frame into it. Here a frame is written once, and every socket
//! sends those bytes.

use std::io::Cursor;

use bytes::{BufMut as _, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::wire::close::Close;

/// The longest message a client may send, in one frame or several.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The longest payload of a control frame.
const MAX_CONTROL: usize = 125;

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);
const CLOSE: OpCode = OpCode::Control(Control::Close);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message; what it held is no matter.
    Binary,
    /// Part of a message, so long, of which not all has come.
    Fragment(usize),
    /// To be answered with the same.
    Ping(Vec<u8>),
    /// An answer to a ping.
    Pong(Vec<u8>),
    /// Goodbye.
    Close,
}

impl Incoming {
    /// How many bytes it holds, as far as somebody looks at them.
    pub fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Fragment(length) => *length,
            Self::Binary | Self::Close => 0,
        }
    }
}

/// What has come in of the client's frames and was not taken yet. Holds no memory
/// between messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    message: Option<Box<Message>>,
}

/// A message of which not all frames have come.
#[derive(Debug)]
struct Message {
    opcode: OpCode,
    payload: Vec<u8>,
}

/// A frame's header, checked against what a client may send.
struct Header {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    payload_at: usize,
    length: usize,
}

impl Decoder {
    /// Takes what was read. At most a frame is ever waited for.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, or part of one, if it is there; or why the stream must end.
    pub fn next(&mut self) -> Result<Option<Incoming>, Close> {
        if let Some(header) = Header::read(&self.bytes)? {
            let end = header.payload_at + header.length;
            if self.bytes.len() < end {
                return Ok(None);
            }
            let mut payload = self.bytes[header.payload_at..end].to_vec();
            payload.iter_mut().zip(header.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            self.forget(end);
            return self.frame(&header, payload).map(Some);
        }
        Ok(None)
    }

    fn forget(&mut self, end: usize) {
        if end == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..end);
        }
    }

    fn frame(&mut self, header: &Header, payload: Vec<u8>) -> Result<Incoming, Close> {
        match header.opcode {
            CLOSE => return goodbye(&payload),
            PING => return Ok(Incoming::Ping(payload)),
            PONG => return Ok(Incoming::Pong(payload)),
            _ => {}
        }
        let length = payload.len();
        let message = match (header.opcode, self.message.take()) {
            (CONTINUE, Some(mut message)) => {
                message.payload.extend_from_slice(&payload);
                message
            }
            (TEXT | BINARY, None) => Box::new(Message { opcode: header.opcode, payload }),
            _ => return Err(Close::Protocol),
        };
        if message.payload.len() > MAX_MESSAGE {
            return Err(Close::TooBig);
        }
        if header.is_final {
            return message.whole();
        }
        self.message = Some(message);
        Ok(Incoming::Fragment(length))
    }
}

/// A goodbye says nothing, or a code that may be sent and perhaps a text.
fn goodbye(payload: &[u8]) -> Result<Incoming, Close> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok(Incoming::Close),
        Some((code, reason)) if CloseCode::from(u16::from_be_bytes(*code)).is_allowed() => {
            std::str::from_utf8(reason).map(|_| Incoming::Close).map_err(|_| Close::NotText)
        }
        _ => Err(Close::Protocol),
    }
}

impl Message {
    fn whole(self) -> Result<Incoming, Close> {
        if self.opcode == BINARY {
            return Ok(Incoming::Binary);
        }
        String::from_utf8(self.payload).map(Incoming::Text).map_err(|_| Close::NotText)
    }
}

impl Header {
    /// Reads a header, if all of it is there.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Close> {
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Close::Protocol)?;
        let Some((FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask }, length)) = parsed else { return Ok(None) };
        let is_broken_control = matches!(opcode, OpCode::Control(_)) && (!is_final || length > MAX_CONTROL as u64);
        let Some(mask) = mask.filter(|_| !rsv1 && !rsv2 && !rsv3 && !is_broken_control) else {
            return Err(Close::Protocol);
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE).ok_or(Close::TooBig)?;
        let payload_at = usize::try_from(cursor.position()).map_err(|_| Close::TooBig)?;
        Ok(Some(Self { opcode, is_final, mask, payload_at, length }))
    }
}

/// Text messages, one after another.
pub fn texts(frames: &[Bytes]) -> Bytes {
    let size = frames.iter().map(|frame| frame.len() + 10).sum();
    let mut out = BytesMut::with_capacity(size);
    for frame in frames {
        put(&mut out, TEXT, frame);
    }
    out.freeze()
}

/// A text message.
pub fn text(frame: &Bytes) -> Bytes {
    texts(std::slice::from_ref(frame))
}

/// A ping.
pub fn ping(payload: &[u8]) -> Bytes {
    control(PING, payload)
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    control(PONG, payload)
}

/// A goodbye, and why.
pub fn close(close: Close) -> Bytes {
    control(CLOSE, &[&close.code().to_be_bytes(), close.reason().as_bytes()].concat())
}

fn control(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 2);
    put(&mut out, opcode, &payload[..payload.len().min(MAX_CONTROL)]);
    out.freeze()
}

fn put(out: &mut BytesMut, opcode: OpCode, payload: &[u8]) {
    // Nothing fails that is written to memory.
    let _ = FrameHeader { opcode, ..FrameHeader::default() }.format(payload.len() as u64, &mut out.writer());
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: u8 = 0x80;
    const MASKED: u8 = 0x80;
    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    /// A frame as a client writes it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(&mut out, TEXT, payload);
        let header = out.len() - payload.len();
        let mut out = out.to_vec();
        out[0] = first;
        out[1] |= MASKED;
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [&out[..header], &MASK, &masked.collect::<Vec<_>>()].concat()
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<Incoming>, Close> {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        std::iter::from_fn(|| decoder.next().transpose()).collect()
    }

    fn say(text: &str) -> Incoming {
        Incoming::Text(text.to_owned())
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let bytes = [
            frame(FINAL | 1, b"one"),
            frame(1, b"tw"),
            frame(FINAL | 9, b"p"),
            frame(0, b""),
            frame(FINAL, "ö".as_bytes()),
            frame(FINAL | 2, &[0xff; 300]),
            frame(FINAL | 1, &vec![b'x'; MAX_MESSAGE]),
            frame(FINAL | 0xa, b""),
            frame(FINAL | 8, &[3, 232]),
        ]
        .concat();
        let long = say(&"x".repeat(MAX_MESSAGE));
        let ping = Incoming::Ping(b"p".to_vec());
        let (part, nothing) = (Incoming::Fragment(2), Incoming::Fragment(0));
        let rest = [say("twö"), Incoming::Binary, long, Incoming::Pong(vec![]), Incoming::Close];
        let all: Vec<_> = [say("one"), part, ping, nothing].into_iter().chain(rest).collect();
        assert_eq!(decoded(&bytes).unwrap(), all);
        for size in [1, 2, 3, 7, 1_000] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.feed(chunk);
                while let Some(incoming) = decoder.next().unwrap() {
                    seen.push(incoming);
                }
            }
            assert_eq!(seen, all, "{size}");
            assert_eq!(decoder.bytes.capacity(), 0);
        }
    }

    #[test]
    fn what_no_client_may_send_ends_the_stream() {
        let mut unmasked = frame(FINAL | 1, b"x");
        unmasked[1] &= !MASKED;
        let half = &frame(1, &vec![b'x'; MAX_MESSAGE / 2 + 1]);
        let other_half = &frame(FINAL, &vec![b'x'; MAX_MESSAGE / 2 + 1]);
        for (bytes, close) in [
            (unmasked, Close::Protocol),
            (frame(FINAL | 3, b""), Close::Protocol),
            (frame(FINAL | 0x40 | 1, b""), Close::Protocol),
            (frame(9, b""), Close::Protocol),
            (frame(FINAL | 9, &[0; 126]), Close::Protocol),
            (frame(FINAL, b"x"), Close::Protocol),
            (frame(FINAL | 8, &[3]), Close::Protocol),
            (frame(FINAL | 8, &[3, 237]), Close::Protocol),
            (frame(FINAL | 8, &[3, 232, 0xff]), Close::NotText),
            ([frame(1, b"x"), frame(1, b"y")].concat(), Close::Protocol),
            (frame(FINAL | 1, &[0xff]), Close::NotText),
            (frame(FINAL | 1, &vec![b'x'; MAX_MESSAGE + 1]), Close::TooBig),
            ([half.clone(), other_half.clone()].concat(), Close::TooBig),
            ([&[FINAL | 1, MASKED | 127][..], &[0xff; 8], &MASK].concat(), Close::TooBig),
        ] {
            assert_eq!(decoded(&bytes), Err(close), "{:?}", &bytes[..bytes.len().min(8)]);
        }
    }

    #[test]
    fn lengths_are_written_in_as_few_bytes_as_they_need() {
        for (length, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(&Bytes::from(vec![b'x'; length]));
            assert_eq!((&frame[..header.len()], frame.len()), (&header[..], header.len() + length));
        }
        assert_eq!(&close(Close::Normal)[..4], &[0x88, 9, 3, 232]);
    }
}

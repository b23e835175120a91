//! RFC 6455's frames, to and from bytes; no socket in sight.
//!
//! Written by hand, because what a server writes is the same for all who watch: it is
//! put into frames once, and every socket sends those bytes. A library's socket keeps
//! a buffer for each direction and copies every frame into it.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::wire::close::Close;

/// The longest message a client may send, in one frame or several.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The longest payload of a control frame.
const MAX_CONTROL: usize = 125;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const RESERVED: u8 = 0x70;

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
    opcode: u8,
    payload: Vec<u8>,
}

struct Header {
    opcode: u8,
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
            CLOSE => return Ok(Incoming::Close),
            PING => return Ok(Incoming::Ping(payload)),
            PONG => return Ok(Incoming::Pong(payload)),
            _ => {}
        }
        let length = payload.len();
        let message = match (header.opcode, self.message.take()) {
            (0, Some(mut message)) => {
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
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (opcode, is_final) = (first & 0x0f, first & FINAL != 0);
        let is_control = opcode >= CLOSE;
        let is_known = matches!(opcode, 0 | TEXT | BINARY | CLOSE | PING | PONG);
        if !is_known || first & RESERVED != 0 || second & MASKED == 0 || (is_control && !is_final) {
            return Err(Close::Protocol);
        }
        let Some((length, length_bytes)) = length(second & !MASKED, rest) else { return Ok(None) };
        if is_control && length > MAX_CONTROL as u64 {
            return Err(Close::Protocol);
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE).ok_or(Close::TooBig)?;
        let Some(mask) = rest[length_bytes..].first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Self { opcode, is_final, mask: *mask, payload_at: 2 + length_bytes + 4, length }))
    }
}

/// A payload's length, and how many bytes said so beyond the first.
fn length(short: u8, rest: &[u8]) -> Option<(u64, usize)> {
    match short {
        126 => rest.first_chunk::<2>().map(|bytes| (u16::from_be_bytes(*bytes).into(), 2)),
        127 => rest.first_chunk::<8>().map(|bytes| (u64::from_be_bytes(*bytes), 8)),
        short => Some((short.into(), 0)),
    }
}

/// Text messages, one after another.
#[must_use]
pub fn texts(frames: &[Bytes]) -> Bytes {
    let size = frames.iter().map(|frame| frame.len() + 10).sum();
    let mut out = BytesMut::with_capacity(size);
    for frame in frames {
        put(&mut out, TEXT, frame);
    }
    out.freeze()
}

/// A text message.
#[must_use]
pub fn text(frame: &Bytes) -> Bytes {
    texts(std::slice::from_ref(frame))
}

/// A ping.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    control(PING, payload)
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    control(PONG, payload)
}

/// A goodbye, and why.
#[must_use]
pub fn close(close: Close) -> Bytes {
    control(CLOSE, &[&close.code().to_be_bytes(), close.reason().as_bytes()].concat())
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 2);
    put(&mut out, opcode, &payload[..payload.len().min(MAX_CONTROL)]);
    out.freeze()
}

fn put(out: &mut BytesMut, opcode: u8, payload: &[u8]) {
    out.put_u8(FINAL | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..=125), _) => out.put_u8(short),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    /// A frame as a client writes it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(&mut out, 0, payload);
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
            frame(FINAL | TEXT, b"one"),
            frame(TEXT, b"tw"),
            frame(FINAL | PING, b"p"),
            frame(0, b""),
            frame(FINAL, "ö".as_bytes()),
            frame(FINAL | BINARY, &[0xff; 300]),
            frame(FINAL | TEXT, &vec![b'x'; MAX_MESSAGE]),
            frame(FINAL | PONG, b""),
            frame(FINAL | CLOSE, &[3, 232]),
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
        let mut unmasked = frame(FINAL | TEXT, b"x");
        unmasked[1] &= !MASKED;
        let half = &frame(TEXT, &vec![b'x'; MAX_MESSAGE / 2 + 1]);
        let other_half = &frame(FINAL, &vec![b'x'; MAX_MESSAGE / 2 + 1]);
        for (bytes, close) in [
            (unmasked, Close::Protocol),
            (frame(FINAL | 3, b""), Close::Protocol),
            (frame(FINAL | 0x40 | TEXT, b""), Close::Protocol),
            (frame(PING, b""), Close::Protocol),
            (frame(FINAL | PING, &[0; 126]), Close::Protocol),
            (frame(FINAL, b"x"), Close::Protocol),
            ([frame(TEXT, b"x"), frame(TEXT, b"y")].concat(), Close::Protocol),
            (frame(FINAL | TEXT, &[0xff]), Close::NotText),
            (frame(FINAL | TEXT, &vec![b'x'; MAX_MESSAGE + 1]), Close::TooBig),
            ([half.clone(), other_half.clone()].concat(), Close::TooBig),
            (vec![FINAL | TEXT, MASKED | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Close::TooBig),
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

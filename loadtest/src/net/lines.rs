//! The data lines of a stream of events, told apart as they come in.

/// What has come in of a line that has not ended.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Passes on the content of each `data:` line. An event of the service has only one.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        let Some(end) = memchr::memrchr(b'\n', bytes) else {
            self.0.extend_from_slice(bytes);
            return;
        };
        let (whole, rest) = bytes.split_at(end);
        if self.0.is_empty() {
            data_of(whole, &mut take);
        } else {
            self.0.extend_from_slice(whole);
            data_of(&std::mem::take(&mut self.0), &mut take);
        }
        self.0.extend_from_slice(&rest[1..]);
    }
}

fn data_of(lines: &[u8], take: &mut impl FnMut(&[u8])) {
    let lines = lines.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.strip_prefix(b"data:")).for_each(|data| take(data.trim_ascii()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"retry: 1000\n\nevent: A\ndata: {\"a\":1}\nid: 5-1\n\n: note\r\ndata:{\"b\":2}\r\n\r\nevent: B\n";

    #[test]
    fn data_is_found_however_the_bytes_are_cut() {
        for size in 1..=STREAM.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in STREAM.chunks(size) {
                lines.feed(piece, |data| seen.push(String::from_utf8_lossy(data).into_owned()));
            }
            assert_eq!(seen, ["{\"a\":1}", "{\"b\":2}"], "{size}");
            assert!(lines.0.is_empty());
        }
    }

    #[test]
    fn a_line_that_has_not_ended_is_not_told() {
        Lines::default().feed(b"data: {\"a\"", |_| panic!("it has not ended"));
    }
}

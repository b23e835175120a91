//! Keys that tokens are signed with, and the files that secrets are read from.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;

/// No setting is longer.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A key that tokens are signed with. It never appears in an output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Shorter keys can be guessed offline from one token.
    pub const MIN_BYTES: usize = 32;

    /// A key of fewer different bytes was typed and not drawn.
    pub const MIN_DIFFERENT_BYTES: usize = 8;

    /// A secret of `text`, if that is long and mixed enough.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes.dedup();
        (text.len() >= Self::MIN_BYTES && bytes.len() >= Self::MIN_DIFFERENT_BYTES).then(|| Self(text.into()))
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret of {} bytes", self.0.len())
    }
}

/// What a file holds, but for one end of line at its end, which editors and `echo` write.
pub fn content(file: &[u8]) -> &[u8] {
    let line = file.strip_suffix(b"\n").unwrap_or(file);
    if line.len() < file.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line }
}

/// The value of a setting in a file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let text = std::str::from_utf8(content(&bytes)).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_secret_is_long_and_mixed_and_never_shown() {
        for weak in ["", "abcdefghijklmnopqrstuvwxyz01234", &"k".repeat(32), &" ".repeat(64), &"abcdefg".repeat(9)] {
            assert_eq!(Secret::new(weak), None, "{weak}");
        }
        let config = Config { jwt_secret: Secret::new(&"abcdefgh".repeat(4)), ..Config::default() };
        let shown = format!("{config:?}");
        assert!(shown.contains("a secret of 32 bytes") && !shown.contains("abcdefgh"), "{shown}");
    }

    #[test]
    fn one_end_of_line_is_not_part_of_a_secret() {
        for (file, holds) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("a\n\n", "a\n"),
            (" a \n", " a "),
            ("a\r", "a\r"),
            ("", ""),
            ("\n", ""),
        ] {
            assert_eq!(content(file.as_bytes()), holds.as_bytes(), "{file:?}");
        }
    }
}

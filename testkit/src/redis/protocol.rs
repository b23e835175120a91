//! One command over one connection, as Redis speaks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the server at that port of this machine answers a command with a text that begins so.
pub fn answers(port: u16, words: &[&str], expected: &str) -> bool {
    let said = ask(port, words);
    said.is_ok_and(|texts| texts.iter().any(|text| text.starts_with(expected)))
}

/// Every text of the answer to a command, in order.
pub(super) fn ask(port: u16, words: &[&str]) -> std::io::Result<Vec<String>> {
    say(TcpStream::connect(("127.0.0.1", port))?, words)
}

fn say(mut stream: TcpStream, words: &[&str]) -> std::io::Result<Vec<String>> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    write!(stream, "*{}\r\n", words.len())?;
    for word in words {
        write!(stream, "${}\r\n{word}\r\n", word.len())?;
    }
    let mut said = Vec::new();
    read_reply(&mut BufReader::new(stream), &mut said)?;
    Ok(said)
}

/// Every text of an answer, in order, however deep it stands.
fn read_reply(from: &mut BufReader<TcpStream>, said: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).unwrap_or(("-", "no answer"));
    match (kind, rest.parse::<i64>()) {
        ("*", Ok(parts)) => (0..parts).try_for_each(|_| read_reply(from, said))?,
        ("$", Ok(length)) if length >= 0 => {
            let mut text = vec![0; usize::try_from(length).unwrap() + 2];
            from.read_exact(&mut text)?;
            text.truncate(text.len() - 2);
            said.push(String::from_utf8_lossy(&text).into_owned());
        }
        _ => said.push(rest.to_owned()),
    }
    Ok(())
}

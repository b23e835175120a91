//! Golden files: the whole of what a release promises, in `tests/golden/`, compared byte by byte.

use std::fs;
use std::path::{Path, PathBuf};

/// Set, it has each file written anew instead of compared.
const RENEW: &str = "SYNCKAIROS_RENEW_GOLDEN";

/// How many lines of a difference are shown.
const MAX_SHOWN_LINES: usize = 40;

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/golden")
}

/// What a file says.
pub fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_default()
}

/// Compares a file with what it should say. A difference is shown, with how to renew the file.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
pub fn check(name: &str, content: &str) {
    let golden = read(name);
    if golden == content {
        return;
    }
    if std::env::var_os(RENEW).is_some() {
        let file = folder().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        return fs::write(file, content).unwrap();
    }
    panic!("{}", refusal(name, &golden, content));
}

fn refusal(name: &str, golden: &str, now: &str) -> String {
    let difference = difference(golden, now);
    format!("tests/golden/{name} differs (- golden, + now) {difference}\nif it should: {RENEW}=1 cargo nextest run")
}

/// The lines that differ, between those that both have at their beginning and end.
fn difference(golden: &str, now: &str) -> String {
    let (mut golden, mut now): (Vec<_>, Vec<_>) = (golden.lines().collect(), now.lines().collect());
    let same = golden.iter().zip(&now).take_while(|(one, other)| one == other).count();
    golden.drain(..same);
    now.drain(..same);
    while golden.last().is_some_and(|last| now.last() == Some(last)) {
        golden.pop();
        now.pop();
    }
    let removed = golden.iter().map(|line| format!("- {line}"));
    let lines: Vec<_> = removed.chain(now.iter().map(|line| format!("+ {line}"))).collect();
    let more = lines.len().saturating_sub(MAX_SHOWN_LINES);
    let more = (more > 0).then(|| format!("... and {more} lines more"));
    let shown = lines.into_iter().take(MAX_SHOWN_LINES).chain(more).collect::<Vec<_>>().join("\n");
    format!("from line {}\n{shown}", same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changed_and_nothing_else() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "from line 2\n- b\n+ x\n+ y");
        assert_eq!(difference("", "a\n"), "from line 1\n+ a");
        let long = (0..100).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
        assert!(difference("", &long).ends_with("+ 39\n... and 60 lines more"));
    }

    #[test]
    fn a_refusal_says_how_to_renew_the_file() {
        let refusal = refusal("codes.txt", "a\n", "b\n");
        assert!(
            refusal.contains("tests/golden/codes.txt")
                && refusal.ends_with("SYNCKAIROS_RENEW_GOLDEN=1 cargo nextest run")
        );
    }
}

//! What reads foreign bytes, one function a target: it is called with any bytes and panics on a fault.
//!
//! Compiled for tests and under `--cfg fuzzing` alone. `scripts/fuzz` looks for faults with new bytes; the tests below
//! call the same functions with the kept ones, `tests/fuzz/corpus/`.

mod client_frame;
mod conformance;
mod create;
mod cursor;
mod token;
mod websocket;

/// Takes any bytes, and panics on a fault.
pub type Check = fn(&[u8]);

/// Every target by its name, which is that of its folder of kept inputs.
pub const TARGETS: &[(&str, Check)] = &[
    ("client_frame", client_frame::check),
    ("conformance", conformance::check),
    ("create", create::check),
    ("cursor", cursor::check),
    ("token", token::check),
    ("websocket", websocket::check),
];

/// The first byte, by which some targets choose what to do with the rest.
fn first(input: &[u8]) -> Option<(u8, &[u8])> {
    input.split_first().map(|(first, rest)| (*first, rest))
}

/// The same, where the rest must be a text.
fn first_and_text(input: &[u8]) -> Option<(u8, &str)> {
    let (first, rest) = first(input)?;
    Some((first, std::str::from_utf8(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::TARGETS;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
    }

    fn replay(target: &str) {
        let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
        let kept: Vec<_> = fs::read_dir(corpus().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(kept.len() >= 10, "{} inputs are kept for {target}", kept.len());
        for path in kept {
            // A panic does not say by which input.
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
        }
    }

    #[test]
    fn client_frame() {
        replay("client_frame");
    }

    #[test]
    fn conformance() {
        replay("conformance");
    }

    #[test]
    fn create() {
        replay("create");
    }

    #[test]
    fn cursor() {
        replay("cursor");
    }

    #[test]
    fn token() {
        replay("token");
    }

    #[test]
    fn websocket() {
        replay("websocket");
    }

    #[test]
    fn every_target_has_a_folder_and_every_folder_a_target() {
        let folders = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = TARGETS.iter().map(|(name, _)| (*name).to_owned());
        assert_eq!(folders.collect::<BTreeSet<_>>(), names.collect());
    }

    #[test]
    fn no_target_minds_the_shortest_inputs() {
        for (_, check) in TARGETS {
            check(b"");
            (0..=u8::MAX).for_each(|byte| check(&[byte]));
        }
    }
}

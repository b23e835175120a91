//! The shape of `src/`, checked: who may name whom, and what stands nowhere.
//!
//! It reads the text, as a reviewer would, so it needs `use` lines that name one module
//! each. Test modules and the contract suites may name what they like.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may name. Rows name only rows above; [`ALL_ABOVE`] is each of them.
///
/// `auth` is pure and stands by itself because both `http` and `cli` need it: a token is
/// verified by the one and signed by both. `fanout` tells warnings at an instant, so it needs
/// `clock`, and its tasks are stopped like all others, so it needs `shutdown`. `redis` is
/// the connection that `store`, `bus` and `membership` stand on; it knows no keys. `mutants` is
/// in no build that is shipped.
const DIRECTION: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("shutdown", &[]),
    ("telemetry", &[]),
    ("mutants", &[]),
    ("breaker", &["telemetry"]),
    ("redis", &["telemetry"]),
    ("ids", &["domain"]),
    ("auth", &["domain"]),
    ("wire", &["domain"]),
    ("conformance", &["domain", "wire"]),
    ("clock", &["domain", "telemetry"]),
    ("store", &["domain", "breaker", "mutants", "redis", "telemetry"]),
    ("bus", &["domain", "redis", "store::keys", "telemetry"]),
    ("ledger", &["domain", "breaker", "telemetry"]),
    ("jobs", &["shutdown", "telemetry"]),
    ("audit", &["domain", "store", "ledger", "jobs", "shutdown", "telemetry"]),
    ("membership", &["domain", "redis", "store", "shutdown", "telemetry"]),
    ("limits", &["domain", "membership", "redis", "shutdown", "telemetry"]),
    ("fanout", &["domain", "wire", "clock", "store", "bus", "shutdown", "telemetry"]),
    (
        "app",
        &[
            "domain",
            "wire",
            "clock",
            "ids",
            "store",
            "bus",
            "ledger",
            "jobs",
            "audit",
            "membership",
            "mutants",
            "shutdown",
            "telemetry",
        ],
    ),
    ("net", &["telemetry"]),
    ("stream", &["domain", "wire", "clock", "ids", "auth", "fanout", "net", "shutdown", "telemetry"]),
    ("http", &["domain", "wire", "clock", "ids", "auth", "app", "fanout", "net", "stream", "telemetry"]),
    ("server", ALL_ABOVE),
    ("cli", ALL_ABOVE),
    ("main", ALL_ABOVE),
];

const ALL_ABOVE: &[&str] = &["*"];

/// What stands in few places: the text, where it may stand, and what to do instead.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("axum", &["http/", "server.rs", "server/"], "axum lives in http and server only"),
    // `jobs/mod.rs` has to name the file.
    ("apalis", &["jobs/apalis.rs", "jobs/mod.rs"], "only jobs/apalis.rs says apalis"),
    ("apalis_core", &["jobs/apalis.rs"], "only jobs/apalis.rs says apalis"),
    ("SystemTime", &["clock/host.rs"], "host time is read in clock/host.rs only; take `now`"),
    ("std::time::Instant", &["clock/host.rs"], "host time is read in clock/host.rs only; take `now`"),
    (".unwrap()", &[], "answer with an error, or `expect` with a reason that cannot fail"),
    ("todo!", &[], "do it, or refuse with a clear error"),
    ("#[allow", &[], "`#[expect]` with a reason, or change the rule for all in Cargo.toml"),
    ("#![allow", &[], "`#[expect]` with a reason, or change the rule for all in Cargo.toml"),
];

/// What the rules may not know of.
const NOT_IN_DOMAIN: &[&str] = &["tokio", "axum", "fred", "sqlx", "async", "rand"];

/// A room for everything is no room.
const NO_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc"];

const MAX_LINES: usize = 450;

/// A file of `src/`, its path from there.
struct Source {
    path: String,
    text: String,
}

/// A path in the code, such as `crate::store::keys`, and the line it stands on.
struct Named {
    line: usize,
    segments: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Where the file stands among the modules, the crate's root being empty.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if path == "lib" { Vec::new() } else { path.split('/').collect() }
    }

    fn is_tests(&self) -> bool {
        self.module().iter().any(|name| ["contract", "tests"].contains(name))
    }

    /// The lines that ship, numbered from 1: no comments, no test modules.
    fn shipped(&self) -> Vec<(usize, String)> {
        let mut shipped = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                skip_item(line, &mut lines);
            } else {
                shipped.push((index + 1, line.split("//").next().unwrap_or("").to_owned()));
            }
        }
        if self.is_tests() { Vec::new() } else { shipped }
    }

    fn says(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

/// Past the item an attribute stands before: to its `;`, or to the brace at its own depth.
fn skip_item<'a>(attribute: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) {
    let depth = attribute.len() - attribute.trim_start().len();
    let end = format!("{}}}", " ".repeat(depth));
    for (_, line) in lines {
        let is_statement = line.len() - line.trim_start().len() == depth && line.ends_with(';');
        if is_statement || line == end || line.ends_with("{}") {
            return;
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where `word` stands in `line` as a word of its own; its ends count only where they are letters.
fn places<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = line[..at].chars().next_back().is_some_and(is_word) && word.starts_with(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word) && word.ends_with(is_word);
        !before && !after
    })
}

/// The segments of a path such as `store::keys::State`, up to what is no name.
fn segments(path: &str) -> Vec<String> {
    path.split("::").map_while(name_of).collect()
}

fn name_of(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|letter| is_word(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

/// Every path from the crate's root in a file, however it is written.
fn named(source: &Source) -> Vec<Named> {
    let mut found = Vec::new();
    for (line, text) in source.shipped() {
        for root in ["crate::", "synckairos::"] {
            let paths = places(&text, root).map(|at| segments(&text[at + root.len()..]));
            found.extend(paths.map(|segments| Named { line, segments }));
        }
        found.extend(through_super(source, &text).map(|segments| Named { line, segments }));
    }
    found
}

/// Paths by way of `super` that leave the file's own room.
fn through_super<'a>(source: &'a Source, text: &'a str) -> impl Iterator<Item = Vec<String>> + 'a {
    let starts = places(text, "super::").filter(|&at| !text[..at].ends_with("super::"));
    starts.filter_map(|at| {
        let rest = text[at..].trim_start_matches("super::");
        let up = (text.len() - at - rest.len()) / "super::".len();
        (up >= source.module().len()).then(|| segments(rest))
    })
}

fn direction(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(own) = module.first() else { return Vec::new() };
    named(source).iter().filter_map(|named| Some(source.says(named.line, &refusal(own, &named.segments)?))).collect()
}

/// Why room `own` may not name this path, if it may not.
fn refusal(own: &str, path: &[String]) -> Option<String> {
    let Some(room) = path.first() else { return Some("a `use` line names one module".to_owned()) };
    let row = |name: &str| DIRECTION.iter().position(|(room, _)| *room == name);
    let (Some(from), Some(to)) = (row(own), row(room)) else {
        return Some(format!("`{own}` or `{room}` is no room of tests/layers.rs"));
    };
    let (_, may_name) = DIRECTION[from];
    let path = format!("{}::", path.join("::"));
    let allowed = |name: &&str| path.starts_with(&format!("{name}::"));
    let all_above = may_name == ALL_ABOVE && to < from;
    if own == room || all_above || may_name.iter().any(allowed) {
        return None;
    }
    Some(format!("`{own}` may not name `{room}`"))
}

fn places_of_words(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, text) in source.shipped() {
        for (word, only_in, why) in ONLY_IN {
            let allowed = only_in.iter().any(|place| source.path.starts_with(place));
            if !allowed && places(&text, word).next().is_some() {
                found.push(source.says(line, &format!("{word}: {why}")));
            }
        }
        let foreign = NOT_IN_DOMAIN.iter().filter(|word| places(&text, word).next().is_some());
        if source.path.starts_with("domain/") {
            found.extend(foreign.map(|word| source.says(line, &format!("the rules are pure and know no {word}"))));
        }
    }
    found
}

fn shape(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        found.push(source.says(lines, &format!("longer than {MAX_LINES} lines: two files in one")));
    }
    if !source.text.starts_with("//! ") {
        found.push(source.says(1, "does not open with `//!` and what it is for"));
    }
    let module = source.module();
    let nameless = module.iter().filter(|name| NO_NAMES.contains(name));
    found.extend(nameless.map(|name| source.says(1, &format!("`{name}` says nothing of what is in it"))));
    found
}

fn violations(source: &Source) -> Vec<String> {
    [direction(source), places_of_words(source), shape(source)].concat()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("src can be read");
    let paths = entries.map(|entry| entry.expect("src can be read").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn everything() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&src).expect("it is below src").to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(&path).expect("a source file is UTF-8"),
    };
    sources(&src).into_iter().filter(is_rust).map(read).collect()
}

#[test]
fn the_house_stands() {
    let found: Vec<_> = everything().iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_room_has_a_row() {
    for source in everything() {
        if let Some(room) = source.module().first() {
            assert!(DIRECTION.iter().any(|(row, _)| row == room), "{room} has no row");
        }
    }
}

#[test]
fn rows_name_only_rows_above() {
    for (index, (room, may_name)) in DIRECTION.iter().enumerate() {
        for name in may_name.iter().filter(|_| *may_name != ALL_ABOVE) {
            let top = name.split("::").next();
            assert!(DIRECTION[..index].iter().any(|(above, _)| Some(*above) == top), "{room} names {name}");
        }
    }
}

#[test]
fn each_check_can_fail() {
    let long = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
    for (path, text, says) in [
        ("domain/a.rs", "//! A.\nuse crate::store::Store;", "src/domain/a.rs:2: `domain` may not name `store`"),
        ("domain/a.rs", "//! A.\nuse super::super::store::Store;", "`domain` may not name `store`"),
        ("clock/mod.rs", "//! A.\nuse super::store::Store;", "`clock` may not name `store`"),
        ("wire/a.rs", "//! A.\nfn f(c: &crate::app::App) {}", "`wire` may not name `app`"),
        ("bus/a.rs", "//! A.\nuse crate::store::Store;", "`bus` may not name `store`"),
        ("bus/a.rs", "//! A.\nuse crate::store::keyservice::A;", "`bus` may not name `store`"),
        ("server.rs", "//! A.\nuse crate::cli::Call;", "`server` may not name `cli`"),
        ("app/a.rs", "//! A.\nuse crate::{store, bus};", "a `use` line names one module"),
        ("app/a.rs", "//! A.\nuse crate::attic::A;", "no room of tests/layers.rs"),
        ("attic/a.rs", "//! A.\nuse crate::domain::A;", "no room of tests/layers.rs"),
        ("app/a.rs", "//! A.\nuse axum::Router;", "axum lives in http and server only"),
        ("audit/worker.rs", "//! A.\nuse apalis_core::task::Task;", "only jobs/apalis.rs"),
        ("store/a.rs", "//! A.\nlet now = SystemTime::now();", "host time"),
        ("store/a.rs", "//! A.\nuse std::time::Instant;", "host time"),
        ("store/a.rs", "//! A.\nlet a = b.unwrap();", "answer with an error"),
        ("store/a.rs", "//! A.\ntodo!()", "do it"),
        ("store/a.rs", "//! A.\n#[allow(dead_code)]", "with a reason"),
        ("store/a.rs", "//! A.\n#[cfg(test)]\nuse a::b;\nlet a = b.unwrap();", "answer with an error"),
        ("store/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n}\nlet a = b.unwrap();", "src/store/a.rs:5"),
        ("domain/a.rs", "//! A.\nuse tokio::sync::Mutex;", "the rules are pure"),
        ("domain/a.rs", "//! A.\npub async fn f() {}", "the rules are pure"),
        ("store/a.rs", "use a::b;", "does not open with"),
        ("store/utils.rs", "//! A.", "says nothing"),
        ("store/a.rs", &long, "longer than"),
    ] {
        let found = violations(&Source::new(path, text)).join("\n");
        assert!(found.contains(says), "{path} {text:?} gives {found:?}");
    }
}

#[test]
fn what_is_allowed_passes() {
    for (path, text) in [
        ("bus/a.rs", "//! A.\nuse crate::store::keys::State;\nuse crate::store::keys;"),
        ("domain/session/a.rs", "//! A.\nuse super::super::time::Timestamp;\nuse crate::domain::id::Id;"),
        ("store/redis.rs", "//! A.\nuse super::Store;"),
        ("http/v1/tokens.rs", "//! A.\nuse axum::Router;\nuse crate::auth::Denied;"),
        ("main.rs", "//! A.\nuse synckairos::cli::Call;"),
        ("store/a.rs", "//! A.\n// crate::http, axum, .unwrap()\nuse tokio::time::Instant;\nlet a = b.unwrap_or(c);"),
        (
            "store/a.rs",
            "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::http::A;\n    fn f() {\n        a.unwrap();\n    }\n}",
        ),
        ("store/contract.rs", "//! A.\nuse crate::clock::A;\nlet a = b.unwrap();"),
        ("jobs/apalis.rs", "//! A.\nuse apalis_core::task::Task;"),
    ] {
        let found = violations(&Source::new(path, text));
        assert!(found.is_empty(), "{path} {text:?} gives {found:?}");
    }
}

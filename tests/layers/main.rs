//! The shape of `src/`, checked: who may name whom, and what stands nowhere.
//!
//! It reads the text, as a reviewer would, so it needs `use` lines that name one module
//! each. Test modules and the contract suites may name what they like.

mod circles;
mod names;
mod source;

use std::collections::BTreeSet;

use circles::circles;
use names::Refusal;
use source::{Source, everything, places, segments};

/// Each room and what it may name. Rows name only rows above; [`ALL_ABOVE`] is each of them.
///
/// `auth` is pure and stands by itself because both `http` and `cli` need it: a token is
/// verified by the one and signed by both. `fanout` tells warnings at an instant, so it needs
/// `clock`, and its tasks are stopped like all others, so it needs `shutdown`. `redis` is
/// the connection that `store`, `bus` and `membership` stand on; it knows no keys. `mutants` is
/// in no build that is shipped.
const DIRECTION: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
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
    (
        "control",
        &["domain", "auth", "ids", "ledger", "membership", "redis", "store", "telemetry"],
    ),
    ("security", &["domain", "control", "ids", "ledger", "store", "telemetry"]),
    (
        "limits",
        &["domain", "wire", "control", "membership", "redis", "security", "store::keys", "telemetry"],
    ),
    ("addresses", &["domain", "wire", "control", "security", "telemetry"]),
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
            "control",
            "membership",
            "mutants",
            "security",
            "shutdown",
            "telemetry",
        ],
    ),
    ("net", &["telemetry"]),
    ("stream", &["domain", "wire", "clock", "ids", "addresses", "auth", "limits", "fanout", "net", "security", "shutdown", "telemetry"]),
    ("http", &["domain", "wire", "clock", "ids", "addresses", "auth", "limits", "app", "fanout", "net", "security", "stream", "telemetry"]),
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

/// Names of two types, and why each may have it.
const SAME_NAMES: &[(&str, &str)] = &[
    ("Error", "a room has one, and others name it with its room: `store::Error`"),
    ("Settings", "a room has one, and others name it with its room: `breaker::Settings`"),
    ("Failure", "the same: `cli::Failure`, `jobs::Failure`"),
    ("Source", "the same: `fanout::Source`, `jobs::Source`"),
    ("Kind", "of a metric, and of an event; each is named beside what it is the kind of"),
    ("ParticipantBody", "what a create takes, and what a snapshot shows; each is private to its wire form"),
];

/// A path in the code, such as `crate::store::keys`, and the line it stands on.
struct Named {
    line: usize,
    segments: Vec<String>,
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
        return Some(format!("`{own}` or `{room}` is no room of tests/layers"));
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

#[test]
fn the_house_stands() {
    let found: Vec<_> = everything("src").iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Every refusal of a name.
fn refusals(sources: &[Source]) -> Vec<Refusal> {
    [names::dialect(sources), names::doubles(sources), names::questions(sources), names::bounds(sources)]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn no_two_files_of_a_room_import_each_other() {
    for member in ["src", "loadtest/src", "testkit/src"] {
        let found = circles(&everything(member));
        assert!(found.is_empty(), "in {member} these name each other: {found:#?}");
    }
}

#[test]
fn names_say_what_they_name() {
    let refusals = refusals(&everything("src"));
    let excused: Vec<&str> = SAME_NAMES.iter().map(|(name, _)| *name).collect();
    let unexcused = refusals.iter().filter(|refusal| !excused.contains(&refusal.name.as_str()));
    let mut found: Vec<_> = unexcused.map(|refusal| format!("{} {}", refusal.name, refusal.why)).collect();
    let unneeded = excused.iter().filter(|name| !refusals.iter().any(|refusal| refusal.name == **name));
    found.extend(unneeded.map(|name| format!("{name} needs no excuse any more")));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_room_has_a_row() {
    for source in everything("src") {
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
        ("app/a.rs", "//! A.\nuse crate::attic::A;", "no room of tests/layers"),
        ("attic/a.rs", "//! A.\nuse crate::domain::A;", "no room of tests/layers"),
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
fn a_circle_is_found_however_it_is_closed() {
    let closed: &[&[(&str, &str)]] = &[
        &[("store/a.rs", "use crate::store::b::B;"), ("store/b.rs", "use super::a::A;")],
        &[("store/a.rs", "fn f() -> super::b::B {}"), ("store/b.rs", "use super::a;")],
        &[
            ("store/a.rs", "use super::{\n    b::{self, B},\n    d,\n};"),
            ("store/b.rs", "use crate::store::{c as d, a};"),
        ],
        &[
            ("store/mod.rs", "mod a;\npub use a::A;"),
            ("store/a.rs", "use super::b::B;"),
            ("store/b.rs", "use super::A;"),
        ],
        &[("store/a.rs", "use super::b;"), ("store/b.rs", "use super::c;"), ("store/c.rs", "use super::a::A;")],
        &[("store/a/c.rs", "use super::super::b;"), ("store/b.rs", "use super::a::c::C;")],
    ];
    for files in closed {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let found = circles(&sources);
        assert_eq!(found.len(), 1, "{files:?} gives {found:?}");
    }
}

#[test]
fn a_tree_is_no_circle() {
    let open: &[&[(&str, &str)]] = &[
        &[("store/a.rs", "use super::b::B;"), ("store/b.rs", "use super::c;"), ("store/c.rs", "")],
        &[("store/mod.rs", "mod a;\npub use a::A;\npub trait Store {}"), ("store/a.rs", "use super::Store;")],
        &[("store/a.rs", "mod c;\nuse c::C;"), ("store/a/c.rs", "use super::A;")],
        &[("store/a.rs", "use super::b::B;"), ("store/b.rs", "#[cfg(test)]\nuse super::a;\n// super::a::A")],
        &[("store/a.rs", "use crate::bus::b;"), ("bus/b.rs", "use crate::store::a;")],
    ];
    for files in open {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        assert_eq!(circles(&sources), BTreeSet::new(), "{files:?}");
    }
}

#[test]
fn each_check_of_names_can_fail() {
    for (path, text, says) in [
        ("store/told.rs", "", "store/told.rs says nothing"),
        ("store/held_back.rs", "", "store/held_back.rs says nothing"),
        ("store/a.rs", "pub struct Told;", "Told says nothing"),
        ("store/a.rs", "pub(super) enum Whoever {", "Whoever says nothing"),
        ("store/a.rs", "pub struct Twin;\npub(crate) type Twin = u8;", "Twin is two types"),
        ("store/a.rs", "fn is_a(&self) {}", "is_a answers with nothing"),
        ("store/a.rs", "pub const fn has_a() -> u8 {", "has_a answers with u8"),
        ("store/a.rs", "async fn may_a(\n    a: A,\n) -> Result<A, bool> {", "may_a answers with Result<A, bool>"),
        ("store/a.rs", "const PATIENCE: Duration = D;", "PATIENCE does not say"),
        ("store/a.rs", "    pub const MOST: usize = 1;", "MOST does not say"),
    ] {
        let found = refusals(&[Source::new(path, text)]);
        let found: Vec<_> = found.iter().map(|refusal| format!("{} {}", refusal.name, refusal.why)).collect();
        assert!(found.len() == 1 && found[0].starts_with(says), "{path} {text:?} gives {found:?}");
    }
}

#[test]
fn names_that_say_something_pass() {
    for (path, text) in [
        ("store/keys.rs", "pub struct HeldLease;\nstruct Inner;\nstruct Inner;\nimpl A {\n    type Error = B;\n}"),
        (
            "store/a.rs",
            "fn is_a(a: fn() -> u8) -> bool {}\nfn has_a() -> Result<bool, Error>;\nfn can() -> io::Result<u8> {}",
        ),
        ("store/a.rs", "const MAX_READS: usize = 1;\nconst LONG: &str = \"\";\n// const MOST: usize = 1;"),
        ("store/tests/told.rs", "pub struct Told;\nfn is_a() {}"),
    ] {
        let found = refusals(&[Source::new(path, text)]);
        assert!(found.is_empty(), "{path} {text:?} gives {}", found[0].name);
    }
}

#[test]
fn allowed_code_passes() {
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

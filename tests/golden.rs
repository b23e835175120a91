//! What a release promises to those outside and to the next release, held against `tests/golden/`: routes, codes,
//! metrics, settings, `--help`, and every stored form.
//!
//! What one release stored, the next reads: a golden file of a stored form changes only with its format number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command as Clap;
use serde_json::{Map, Value};
use synckairos::cli;
use synckairos::config::SETTINGS;
use synckairos::domain::id::SessionId;
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::Session;
use synckairos::domain::session::command::Command;
use synckairos::domain::session::event::{Change, Step};
use synckairos::domain::session::stored::FORMAT;
use synckairos::domain::time::Timestamp;
use synckairos::telemetry::metrics::{METRICS, Metric};
use synckairos::wire::change::Details;
use synckairos::wire::command::{self, CommandInput};
use synckairos::wire::create::CreateBody;
use synckairos::wire::error_code::Code;
use synckairos::wire::history;
use testkit::golden;

/// Every golden file: one that no test reads is refused.
const FILES: &[&str] = &[
    "changes.jsonl",
    "codes.txt",
    "help.txt",
    "metrics.txt",
    "outbox-entry.hex",
    "projections.json",
    "routes.txt",
    "sealed-messages.json",
    "sessions-1.jsonl",
    "settings.txt",
    "signed-commands.json",
];

fn lines<T: Into<String>>(lines: impl IntoIterator<Item = T>) -> String {
    lines.into_iter().map(|line| line.into() + "\n").collect()
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let entries = fs::read_dir(golden::folder()).expect("the folder").map(|entry| entry.expect("a file").file_name());
    let there: BTreeSet<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    let known: BTreeSet<_> = FILES.iter().map(ToString::to_string).collect();
    assert_eq!(there, known);
}

#[test]
fn codes() {
    let line = |code: &Code| format!("{} {} {}", code.status(), code.as_str(), code.title());
    golden::check("codes.txt", &lines(Code::ALL.iter().map(line)));
}

#[test]
fn metrics() {
    let line = |metric: &Metric| {
        let labels = metric.labels.join(", ");
        format!("{} {:?}\n  labels: {labels}\n  {}", metric.name, metric.kind, metric.help)
    };
    golden::check("metrics.txt", &lines(METRICS.iter().map(line)));
}

#[test]
fn settings() {
    let lines = lines(SETTINGS.iter().map(|setting| {
        let state = if setting.is_built() { "" } else { " (not built)" };
        format!("{}{state} --{} [{}]\n  {}", setting.name, setting.flag(), setting.default, setting.doc)
    }));
    golden::check("settings.txt", &lines);
}

#[test]
fn help() {
    let mut command = cli::command();
    command.build();
    golden::check("help.txt", &help_of(&mut command, "synckairos"));
}

/// The long help of a command and of those below it. What every one of them has is shown once.
fn help_of(command: &mut Clap, name: &str) -> String {
    let mut text = format!("==== {name}\n{}\n", command.render_long_help());
    let is_generated = |name: &str| name == "help";
    let names: Vec<_> = command.get_subcommands().map(|each| each.get_name().to_owned()).collect();
    for below in names.iter().filter(|below| !is_generated(below)) {
        let command = command.find_subcommand_mut(below).expect("it is there");
        text += &without_settings(&help_of(command, &format!("{name} {below}")));
    }
    text
}

fn without_settings(help: &str) -> String {
    let mut is_setting = false;
    let kept = help.lines().filter(|line| {
        is_setting = line.starts_with("Settings (") || is_setting && (line.is_empty() || line.starts_with(' '));
        !is_setting
    });
    lines(kept)
}

#[test]
fn routes() {
    let mut found = BTreeSet::new();
    for file in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(file).expect("a source file");
        found.extend(calls(&text, ".nest(").map(|(path, _)| format!("{path} ...")));
        found.extend(calls(&text, ".route(").map(|(path, handlers)| format!("{path} {}", methods(handlers))));
    }
    golden::check("routes.txt", &lines(found));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Calls with a path as their first argument: the path, and the other arguments.
fn calls<'a>(text: &'a str, call: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.split(call).skip(1).filter_map(|rest| {
        let (path, rest) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        let mut depth = 1;
        let end = rest.find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth == 0
        });
        Some((path, &rest[..end?]))
    })
}

/// The methods that have a handler.
fn methods(handlers: &str) -> String {
    let is_method = |method: &&str| {
        let places = handlers.match_indices(&format!("{method}(")).map(|(at, _)| at).collect::<Vec<_>>();
        places
            .into_iter()
            .any(|at| !handlers[..at].ends_with(|letter: char| letter.is_alphanumeric() || "_:.".contains(letter)))
            || handlers.contains(&format!(").{method}("))
    };
    ["get", "post", "put", "patch", "delete"]
        .iter()
        .filter(|method| is_method(method))
        .map(|method| method.to_uppercase())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first vector of each file of the clock rules, which pass through every mode: its name and its changes.
fn played() -> BTreeMap<String, Vec<Played>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let files = fs::read_dir(folder).expect("the vectors").map(|entry| entry.expect("a file").path());
    let vectors = files.filter_map(|file| {
        let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).expect("a file")).expect("vectors");
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        vectors.into_iter().find(|vector| vector.get("create_refused").is_none()).map(|vector| (name, play(&vector)))
    });
    vectors.collect()
}

/// A change that a command made, or that happened by itself.
struct Played {
    name: &'static str,
    command: Option<Command>,
    before: Option<Session>,
    change: Change,
}

fn play(vector: &Value) -> Vec<Played> {
    let body: CreateBody = command::parsed(object(&vector["create"])).expect("a create");
    let new = body.into_new(SessionId::new("vector").expect("an id")).expect("a mode");
    let change = Session::create(new, Timestamp::from_ms(0)).expect("a session");
    let mut played = vec![Played { name: "create", command: None, before: None, change }];
    for step in vector["steps"].as_array().expect("steps") {
        let now = Timestamp::from_ms(step["at_ms"].as_i64().expect("an instant"));
        let Some(name) = step["command"].as_str() else { continue };
        let Ok((input, _)) = command::read(name, object(&step["body"])) else { break };
        let CommandInput::Command(command) = input else { break };
        obey(&mut played, &command, now);
    }
    played
}

fn obey(played: &mut Vec<Played>, command: &Command, now: Timestamp) {
    loop {
        let before = played[played.len() - 1].change.session.clone();
        let (name, command, change, is_over) = match before.next(command, now) {
            Step::Refused(_) => return,
            Step::Done(change) => (command.name(), Some(command.clone()), change, true),
            Step::Due(change, refused) => ("settle", None, change, refused.is_some()),
        };
        played.push(Played { name, command, before: Some(before), change: *change });
        if is_over {
            return;
        }
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("JSON")
}

#[test]
fn stored_sessions() {
    let last = played().into_values().filter_map(|mut played| played.pop());
    let file = format!("sessions-{FORMAT}.jsonl");
    golden::check(&file, &lines(last.map(|played| text(&played.change.session.stored()))));
    for line in golden::read(&file).lines() {
        let session = Session::from_stored(line.as_bytes()).expect("this release reads it");
        assert_eq!(text(&session.stored()), line);
    }
}

/// What releases with an earlier format stored is read, too.
#[test]
fn sessions_of_every_released_format_are_read() {
    for format in 1..=FORMAT {
        let stored = golden::read(&format!("sessions-{format}.jsonl"));
        assert!(!stored.is_empty(), "there is no session of format {format}");
        for line in stored.lines() {
            assert!(Session::from_stored(line.as_bytes()).is_ok(), "{line}");
        }
    }
}

#[test]
fn changes_in_the_ledger() {
    let by = Principal {
        tenant: synckairos::domain::id::TenantId::new("acme").expect("an id"),
        subject: "alice".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        expires_at: None,
        provenance: Provenance::default(),
    };
    let line = |played: &Played| {
        let Played { name, command, before, change } = played;
        let details = Details::of(command.as_ref(), before.as_ref(), &change.session);
        text(&history::changed(name, &details, (*name != "settle").then_some(&by), change, None))
    };
    golden::check("changes.jsonl", &lines(played().values().flatten().map(line)));
    for line in golden::read("changes.jsonl").lines() {
        assert!(history::outcome_in(line.as_bytes()).is_some(), "{line}");
    }
}

//! Names: of files, types, questions and constants.

use std::collections::BTreeMap;

use super::source::{Source, is_word, name_of};

/// A name that is refused: which, and why.
pub struct Refusal {
    pub name: String,
    pub why: String,
}

/// Words that name nothing that a reader could look for: participles, adverbs and pronouns for things.
const DIALECT: &[&str] = &[
    "again",
    "alone",
    "answered",
    "asked",
    "asking",
    "awake",
    "away",
    "begun",
    "born",
    "commanding",
    "copied",
    "done",
    "ear",
    "found",
    "gathered",
    "given",
    "gone",
    "heard",
    "hearing",
    "held",
    "kept",
    "left",
    "life",
    "listening",
    "lives",
    "living",
    "made",
    "parked",
    "past",
    "polled",
    "remembered",
    "restoring",
    "rewound",
    "said",
    "seen",
    "soon",
    "taken",
    "together",
    "told",
    "twice",
    "waited",
    "watched",
    "what",
    "who",
    "whoever",
    "wishes",
    "writing",
];

/// What bounds nothing that it names, as the name of a number or a time.
const BOUNDLESS: &[&str] = &[
    "ABSENCE", "AFTER", "AGAIN", "ANSWER", "AT_ONCE", "BOUND", "ENOUGH", "EVERY", "FEW", "GOAL", "LATE", "LONG",
    "LONGEST", "LONG_AGO", "MANY", "MOST", "ONCE", "PATIENCE", "PAUSE", "QUIET", "ROOM", "SOON", "SPAN", "START",
    "STOP", "TRIES", "TWICE", "UPKEEP", "WAIT",
];

/// Types of constants that bound something.
const MEASURES: &[&str] =
    &["Duration", "f64", "i32", "i64", "u8", "u16", "u32", "u64", "u128", "usize", "NonZeroU32", "NonZeroUsize"];

/// Words before an item that say who sees it.
const VISIBILITIES: &[&str] = &["pub(crate) ", "pub "];

/// Files and types of the refused dialect.
pub fn dialect(sources: &[Source]) -> Vec<Refusal> {
    let refusal =
        |name: &str| Refusal { name: name.to_owned(), why: "says nothing that a reader could look for".to_owned() };
    let shipped = || sources.iter().filter(|source| !source.is_tests());
    let stems = shipped().filter(|source| {
        let module = source.module();
        module.last().is_some_and(|stem| stem.split('_').any(|word| DIALECT.contains(&word)))
    });
    let types = shipped().flat_map(types).map(|(name, _)| name).filter(|name| DIALECT.contains(&snake(name).as_str()));
    stems.map(|source| refusal(&source.path)).chain(types.map(|name| refusal(&name))).collect()
}

/// Types that the whole crate may see, and whose name is another one's too.
pub fn doubles(sources: &[Source]) -> Vec<Refusal> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_tests()) {
        for (name, _) in types(source).into_iter().filter(|(_, is_visible)| *is_visible) {
            places.entry(name).or_default().push(&source.path);
        }
    }
    let doubles = places.into_iter().filter(|(_, places)| places.len() > 1);
    doubles.map(|(name, places)| Refusal { name, why: format!("is two types: in {}", places.join(" and ")) }).collect()
}

/// Each type of a file, and whether the whole crate may see it.
fn types(source: &Source) -> Vec<(String, bool)> {
    let of_line = |(_, line): (usize, String)| {
        let visible = VISIBILITIES.iter().find_map(|visibility| line.strip_prefix(visibility));
        let item = visible.or_else(|| line.split_once(") ").filter(|_| line.starts_with("pub(")).map(|(_, item)| item));
        let item = item.unwrap_or(&line);
        let name = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| item.strip_prefix(kind));
        Some((name_of(name?)?, visible.is_some()))
    };
    source.shipped().into_iter().filter_map(of_line).collect()
}

/// Questions that answer with something else than yes or no.
pub fn questions(sources: &[Source]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for source in sources {
        let text: String = source.shipped().into_iter().map(|(_, line)| line + "\n").collect();
        for (at, _) in text.match_indices("fn ") {
            let Some(name) = name_of(&text[at + 3..]) else { continue };
            let is_question = ["is_", "has_", "can_", "may_"].iter().any(|start| name.starts_with(start));
            let answer = answer(&text[at..]);
            if is_question && !text[..at].ends_with(is_word) && !is_yes_or_no(&answer) {
                let why = format!("answers with {answer}, not with yes or no ({})", source.path);
                found.push(Refusal { name, why });
            }
        }
    }
    found
}

/// What a function gives, as its signature has it.
fn answer(function: &str) -> String {
    let signature = function.split(['{', ';']).next().unwrap_or_default();
    let given = signature.rsplit_once(") -> ").map_or("nothing", |(_, given)| given);
    given.split("where").next().unwrap_or_default().trim().to_owned()
}

fn is_yes_or_no(answer: &str) -> bool {
    let inside = answer.split_once('<').filter(|(outer, _)| outer.ends_with("Option") || outer.ends_with("Result"));
    let answer = inside.map_or(answer, |(_, inside)| inside.split([',', '>']).next().unwrap_or_default());
    answer == "bool"
}

/// Numbers and times whose names do not say what they bound.
pub fn bounds(sources: &[Source]) -> Vec<Refusal> {
    let mut found = Vec::new();
    for source in sources {
        for (_, line) in source.shipped() {
            let constant = line.split_once("const ").and_then(|(_, constant)| constant.split_once(": "));
            let Some((name, rest)) = constant.filter(|(name, _)| BOUNDLESS.contains(name)) else { continue };
            let kind = rest.split(" = ").next().unwrap_or_default();
            if MEASURES.contains(&kind) {
                let why = format!("does not say what it bounds ({})", source.path);
                found.push(Refusal { name: name.to_owned(), why });
            }
        }
    }
    found
}

/// `HeldLease` as `held_lease`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

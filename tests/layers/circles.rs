//! Files of one room that name each other, directly or by way of others.
//!
//! A module and the files below it belong together, and count as no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, is_word, name_of, places};

/// A path from the crate's root, such as `store`, `keys`, `State`.
type Path = Vec<String>;

/// A path in a file, and whether the file only passes it on by `pub use`.
struct Reference {
    path: Path,
    is_passed_on: bool,
}

/// The files of a crate by their place among the modules, and what each passes on under which path.
struct Tree<'a> {
    files: BTreeMap<Path, &'a Source>,
    passed_on: BTreeMap<Path, Path>,
}

/// Every circle, as the paths of its files in order.
pub fn circles(sources: &[Source]) -> BTreeSet<Vec<String>> {
    let tree = Tree::of(sources);
    let edges: BTreeMap<_, _> = tree.files.keys().map(|module| (module, tree.edges(module))).collect();
    let reached: BTreeMap<_, _> = tree.files.keys().map(|module| (module, reached(module, &edges))).collect();
    let circle = |module: &Path| {
        let members = reached[module].iter().filter(|other| reached[*other].contains(module));
        members.map(|member| tree.files[member].path.clone()).collect::<Vec<_>>()
    };
    tree.files.keys().filter(|module| reached[module].contains(*module)).map(circle).collect()
}

/// The modules to which edges lead from one.
fn reached(from: &Path, edges: &BTreeMap<&Path, BTreeSet<Path>>) -> BTreeSet<Path> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(module) = next.pop() {
        next.extend(edges[&module].iter().filter(|to| reached.insert((*to).clone())).cloned());
    }
    reached
}

impl<'a> Tree<'a> {
    fn of(sources: &'a [Source]) -> Self {
        let files = sources.iter().map(|source| (owned(&source.module()), source)).collect();
        let mut tree = Self { files, passed_on: BTreeMap::new() };
        for (module, source) in &tree.files {
            for reference in references(source).into_iter().filter(|reference| reference.is_passed_on) {
                let name = reference.path.last().cloned();
                tree.passed_on.insert(module.iter().cloned().chain(name).collect(), reference.path);
            }
        }
        tree
    }

    /// The files of its own room that a file names, but for those above and below it.
    fn edges(&self, module: &Path) -> BTreeSet<Path> {
        let named = references(self.files[module]).into_iter().filter(|reference| !reference.is_passed_on);
        let files = named.filter_map(|reference| self.file(&reference.path));
        let is_apart = |other: &Path| !other.starts_with(module) && !module.starts_with(other);
        files.filter(|other| other.first() == module.first() && is_apart(other)).collect()
    }

    /// The module of the file that a path leads to.
    fn file(&self, path: &Path) -> Option<Path> {
        for end in (1..=path.len()).rev() {
            let (start, rest) = path.split_at(end);
            if let Some(elsewhere) = self.passed_on.get(start).filter(|elsewhere| elsewhere[..] != *start) {
                return self.file(&[elsewhere, rest].concat());
            }
            if self.files.contains_key(start) {
                return Some(start.to_vec());
            }
        }
        None
    }
}

/// Every path in what ships of a file.
fn references(source: &Source) -> Vec<Reference> {
    let text: String = source.shipped().into_iter().map(|(_, line)| line + "\n").collect();
    let children = children(&text);
    let mut found = Vec::new();
    for start in ["crate", "super", "self"].into_iter().chain(children.iter().map(String::as_str)) {
        let root = format!("{start}::");
        for at in places(&text, &root).filter(|at| !text[..*at].ends_with("::")) {
            let line = text[..at].rsplit('\n').next().unwrap_or_default().trim_start();
            let is_passed_on = line.starts_with("pub") && line.ends_with("use ");
            let paths = expand(&text[at..]).0.into_iter().map(|path| absolute(source, path));
            found.extend(paths.map(|path| Reference { path, is_passed_on }));
        }
    }
    found
}

/// The modules that a file declares.
fn children(text: &str) -> Vec<String> {
    let declared = text.lines().filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod "));
    declared
        .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn absolute(source: &Source, path: Path) -> Path {
    let mut module = owned(&source.module());
    let mut rest = path.into_iter().peekable();
    if rest.next_if_eq("crate").is_some() {
        module.clear();
    }
    while rest.next_if_eq("super").is_some() {
        module.pop();
    }
    rest.next_if_eq("self");
    module.into_iter().chain(rest).collect()
}

/// Every path of `a::{b, c::d}` at the start of a text, and what follows.
fn expand(text: &str) -> (Vec<Path>, &str) {
    if let Some(group) = text.strip_prefix('{') {
        return expand_group(group);
    }
    let Some(name) = name_of(text) else { return (Vec::new(), text) };
    let after = &text[name.len()..];
    let rest = after.strip_prefix("::").filter(|rest| rest.starts_with(|letter| is_word(letter) || letter == '{'));
    let Some(rest) = rest else { return (vec![vec![name]], after) };
    let (paths, rest) = expand(rest);
    let with_name = |path: Path| std::iter::once(name.clone()).chain(path).collect();
    (paths.into_iter().map(with_name).collect(), rest)
}

fn expand_group(mut text: &str) -> (Vec<Path>, &str) {
    let mut paths = Vec::new();
    loop {
        text = text.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
        let (more, rest) = expand(text);
        if more.is_empty() {
            return (paths, rest.strip_prefix('}').unwrap_or(rest));
        }
        paths.extend(more);
        let alias = rest.strip_prefix(" as ").map(|rest| rest.trim_start_matches(is_word));
        text = alias.unwrap_or(rest);
    }
}

fn owned(path: &[&str]) -> Path {
    path.iter().map(ToString::to_string).collect()
}

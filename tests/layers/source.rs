//! The files of a crate as text: what ships, and where a word stands.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src/`, its path from there.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Where the file stands among the modules, the crate's root being empty.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if path == "lib" { Vec::new() } else { path.split('/').collect() }
    }

    pub fn is_tests(&self) -> bool {
        self.module().iter().any(|name| ["contract", "tests"].contains(name))
    }

    /// The lines that ship, numbered from 1: no comments, no test modules.
    pub fn shipped(&self) -> Vec<(usize, String)> {
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

    pub fn says(&self, line: usize, what: &str) -> String {
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

pub fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where `word` stands in `line` as a word of its own; its ends count only where they are letters.
pub fn places<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = line[..at].chars().next_back().is_some_and(is_word) && word.starts_with(is_word);
        let after = line[at + word.len()..].chars().next().is_some_and(is_word) && word.ends_with(is_word);
        !before && !after
    })
}

/// The segments of a path such as `store::keys::State`, up to what is no name.
pub fn segments(path: &str) -> Vec<String> {
    path.split("::").map_while(name_of).collect()
}

pub fn name_of(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|letter| is_word(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("src can be read");
    let paths = entries.map(|entry| entry.expect("src can be read").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Every source file below a folder of the repository.
pub fn everything(folder: &str) -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&src).expect("it is below the folder").to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(&path).expect("a source file is UTF-8"),
    };
    sources(&src).into_iter().filter(is_rust).map(read).collect()
}

//! What the build is made of, held against `.deny.toml`: licences, bans, second copies, sources. And that each
//! dependency of a member is used by its sources.
//!
//! It stands in for cargo-deny, which `.deny.toml` says more about, and reads the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every member of the workspace, by its folder.
const MEMBERS: &[&str] = &["", "loadtest", "testkit"];

/// Where the dependencies of a section may be named.
const SECTIONS: &[(&str, &[&str])] = &[
    ("dependencies", &["src"]),
    ("dev-dependencies", &["src", "tests", "benches"]),
    ("build-dependencies", &["build.rs"]),
];

/// Dependencies that no source names, and why each is there all the same.
const UNNAMED: &[(&str, &str)] = &[];

/// What of `.deny.toml` is checked here.
struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
    /// Second copies that are let pass: `name@version`.
    skipped: BTreeSet<String>,
    registries: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Package {
    name: String,
    version: String,
    licence: String,
    source: String,
}

impl Rules {
    fn read(text: &str) -> Self {
        let rules: toml::Table = text.parse().expect("it is TOML");
        let list = |section: &str, key: &str| -> BTreeSet<String> {
            let items = rules[section][key].as_array().expect("it is a list");
            let text = |item: &toml::Value| item.get("crate").unwrap_or(item).as_str().map(str::to_owned);
            items.iter().filter_map(text).collect()
        };
        Self {
            licences: list("licenses", "allow"),
            banned: list("bans", "deny"),
            skipped: list("bans", "skip"),
            registries: list("sources", "allow-registry"),
        }
    }

    fn violations(&self, packages: &[Package]) -> Vec<String> {
        let each = packages.iter().flat_map(|package| self.of_one(package));
        each.chain(self.second_copies(packages)).chain(self.stale(packages)).collect()
    }

    fn of_one(&self, package: &Package) -> Vec<String> {
        let Package { name, version, licence, source } = package;
        let registry = source.trim_start_matches("registry+");
        [
            (self.banned.contains(name), "is banned".to_owned()),
            (!self.registries.contains(registry), format!("comes from {source}")),
            (!self.permits(licence), format!("has the licence {licence:?}")),
        ]
        .into_iter()
        .filter_map(|(is_wrong, what)| is_wrong.then(|| format!("{name} {version} {what}")))
        .collect()
    }

    fn second_copies(&self, packages: &[Package]) -> Vec<String> {
        let mut versions = BTreeMap::<_, Vec<_>>::new();
        for package in packages.iter().filter(|package| !self.skipped.iter().any(|skip| package.is(skip))) {
            versions.entry(&package.name).or_default().push(&package.version);
        }
        versions.retain(|_, copies| copies.len() > 1);
        versions.iter().map(|(name, copies)| format!("{name} is there more than once: {copies:?}")).collect()
    }

    /// Exceptions whose reason has gone.
    fn stale(&self, packages: &[Package]) -> Vec<String> {
        let is_needed = |skip: &&String| {
            let name = skip.split('@').next();
            let copies = packages.iter().filter(|package| Some(package.name.as_str()) == name).count();
            copies > 1 && packages.iter().any(|package| package.is(skip))
        };
        self.skipped.iter().filter(|skip| !is_needed(skip)).map(|skip| format!("{skip} needs no exception")).collect()
    }

    /// Whether an SPDX expression can be met with what is allowed. `/` is an old way to write OR.
    fn permits(&self, licence: &str) -> bool {
        let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let met = self.any_of(&mut words);
        met && words.next().is_none()
    }

    fn any_of<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut met = self.all_of(words);
        while words.next_if_eq(&"OR").is_some() {
            met |= self.all_of(words);
        }
        met
    }

    fn all_of<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut met = self.one(words);
        while words.next_if_eq(&"AND").is_some() {
            met &= self.one(words);
        }
        met
    }

    fn one<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        match words.next() {
            Some("(") => {
                let met = self.any_of(words);
                words.next() == Some(")") && met
            }
            Some(name) => match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
                Some(exception) => self.licences.contains(&format!("{name} WITH {exception}")),
                None => self.licences.contains(name),
            },
            None => false,
        }
    }
}

impl Package {
    /// Whether it is what `name@version` says, the version as far as it goes.
    fn is(&self, spec: &str) -> bool {
        let of_line = |version| format!("{}.", self.version).starts_with(&format!("{version}."));
        spec.split_once('@').is_some_and(|(name, version)| self.name == name && of_line(version))
    }
}

/// Every package of the build that is not our own.
fn packages() -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let answer = cargo.output().expect("cargo runs");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("cargo answers JSON");
    let packages = answer["packages"].as_array().expect("it lists packages");
    packages.iter().filter(|package| package["source"].is_string()).map(package).collect()
}

fn package(package: &Value) -> Package {
    let text = |key: &str| package[key].as_str().unwrap_or("none").to_owned();
    Package { name: text("name"), version: text("version"), licence: text("license"), source: text("source") }
}

fn rules() -> Rules {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deny.toml");
    Rules::read(&std::fs::read_to_string(file).expect(".deny.toml is there"))
}

/// Dependencies of a manifest that the sources of their section do not name.
fn unused(manifest: &toml::Table, sources: impl Fn(&str) -> String) -> Vec<String> {
    let mut unused = Vec::new();
    for (section, folders) in SECTIONS {
        let text: String = folders.iter().map(|folder| sources(folder)).collect();
        let names = manifest.get(*section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
        unused.extend(names.filter(|name| !is_named(name, &text)).cloned());
    }
    unused
}

/// Whether a crate stands in a text: before `::`, or as the whole of a `use`.
fn is_named(name: &str, text: &str) -> bool {
    let name = name.replace('-', "_");
    text.match_indices(&name).any(|(at, _)| {
        let rest = &text[at + name.len()..];
        let before = &text[..at];
        let is_whole = !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let is_used = before.ends_with("use ") && (rest.starts_with(';') || rest.starts_with(" as "));
        is_whole && rest.starts_with("::") || is_used
    })
}

/// The code of a file or folder, without comments.
fn code(path: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(path) else {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        return text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    };
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let is_code = |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
    paths.filter(is_code).map(|path| code(&path)).collect()
}

#[test]
fn every_dependency_of_a_member_is_used() {
    let mut found = Vec::new();
    for member in MEMBERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(member);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a member has a manifest");
        found.extend(unused(&manifest.parse().expect("it is TOML"), |below| code(&folder.join(below))));
    }
    let unneeded = UNNAMED.iter().filter(|(name, _)| !found.iter().any(|unused| unused == name));
    let unneeded: Vec<_> = unneeded.map(|(name, _)| format!("{name} needs no excuse")).collect();
    found.retain(|unused| !UNNAMED.iter().any(|(name, _)| unused == name));
    assert!(found.is_empty() && unneeded.is_empty(), "not used: {found:?} {unneeded:?}");
}

#[test]
fn every_member_is_looked_at() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("it is there");
    let manifest: toml::Table = manifest.parse().expect("it is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list").iter().filter_map(toml::Value::as_str);
    assert_eq!(std::iter::once("").chain(members).collect::<Vec<_>>(), MEMBERS);
}

#[test]
fn an_unused_dependency_is_found() {
    let manifest = "[dependencies]\na-b = '1'\nc = '1'\n[dev-dependencies]\nd = '1'".parse().expect("it is TOML");
    let with = |src: &'static str, tests: &'static str| {
        unused(&manifest, |folder| if folder == "src" { src.to_owned() } else { tests.to_owned() })
    };
    assert_eq!(with("use a_b::B;\nc::d()", "use d as e;"), Vec::<String>::new());
    assert_eq!(with("use xa_b::B;\nlet c = 1;", "a_b::d; c::e; d.f"), ["a-b", "c", "d"]);
}

#[test]
fn the_build_is_made_of_what_is_allowed() {
    let found = rules().violations(&packages());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn each_check_can_fail() {
    let rules = Rules { skipped: ["a@1".to_owned()].into(), ..rules() };
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let one = |name: &str, version: &str, licence: &str, source: &str| Package {
        name: name.into(),
        version: version.into(),
        licence: licence.into(),
        source: source.into(),
    };
    let fine = [one("a", "1.2.3", "MIT", registry), one("a", "2.0.0", "MIT", registry)];
    assert_eq!(rules.violations(&fine), Vec::<String>::new());
    for (wrong, says) in [
        (one("chrono", "1.0.0", "MIT", registry), "is banned"),
        (one("b", "1.0.0", "GPL-3.0", registry), "has the licence"),
        (one("b", "1.0.0", "none", registry), "has the licence"),
        (one("b", "1.0.0", "MIT", "git+https://example.org/b"), "comes from"),
        (one("a", "3.0.0", "MIT", registry), "more than once"),
    ] {
        let packages = [&fine[..], &[wrong]].concat();
        assert!(rules.violations(&packages).iter().any(|found| found.contains(says)), "{says}");
    }
    assert!(rules.violations(&fine[..1]).contains(&"a@1 needs no exception".to_owned()));
}

#[test]
fn a_licence_is_met_as_its_expression_says() {
    let rules = rules();
    for met in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "MIT AND (ISC OR Foo WITH Bar)"] {
        assert!(rules.permits(met), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MIT WITH Foo", "MIT ISC", "GPL-3.0 OR"] {
        assert!(!rules.permits(unmet), "{unmet}");
    }
}

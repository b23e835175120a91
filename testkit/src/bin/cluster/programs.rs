//! The programs that a cluster needs: those of others, and our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::postgres::find_binary;

use crate::failure::Failure;
use crate::options::Options;

pub struct Programs {
    pub redis: PathBuf,
    pub nginx: PathBuf,
    pub postgres: PathBuf,
    pub initdb: PathBuf,
    /// The library that fakes the time, where some clock is to be wrong.
    pub faketime: Option<PathBuf>,
    pub synckairos: PathBuf,
}

impl Programs {
    /// Finds all of them; builds our own, unless the environment names it.
    pub fn find(checkout: &Path, options: &Options) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        let mut need = |found: Option<PathBuf>, package: &'static str| {
            if found.is_none() && !missing.contains(&package) {
                missing.push(package);
            }
            found.unwrap_or_default()
        };
        let redis = need(on_path("redis-server"), "redis-server");
        let nginx = need(on_path("nginx").or_else(|| existing("/usr/sbin/nginx")), "nginx-light");
        let postgres = need(find_binary("postgres"), "postgresql");
        let initdb = need(find_binary("initdb"), "postgresql");
        for program in ["setpriv", "setsid"] {
            need(on_path(program), "util-linux");
        }
        let faketime = (!options.offsets.is_empty()).then(|| need(faketime(), "libfaketime"));
        if !missing.is_empty() {
            let packages = missing.join(" ");
            return Err(format!("missing; as root: apt-get install --no-install-recommends {packages}").into());
        }
        let synckairos = synckairos(checkout, options.is_release)?;
        Ok(Self { redis, nginx, postgres, initdb, faketime, synckairos })
    }
}

fn existing(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The one for programs with threads.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file())
}

fn synckairos(checkout: &Path, is_release: bool) -> Result<PathBuf, Failure> {
    let named = variable("SYNCKAIROS_PROGRAM").map(PathBuf::from);
    let program = named.map_or_else(|| built(checkout, is_release), Ok)?;
    let is_program = |path: &PathBuf| path.is_file();
    let found = program.canonicalize().ok().filter(is_program);
    found.ok_or_else(|| format!("{} is no program", program.display()).into())
}

fn built(checkout: &Path, is_release: bool) -> Result<PathBuf, Failure> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--package", "synckairos"]).current_dir(checkout);
    cargo.args(is_release.then_some("--release"));
    let done = cargo.status();
    let done = done.map_err(|_| "there is no cargo to build the program, and SYNCKAIROS_PROGRAM names none")?;
    if !done.success() {
        return Err("the program cannot be built".into());
    }
    let target = checkout.join(variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".to_owned()));
    Ok(target.join(if is_release { "release" } else { "debug" }).join("synckairos"))
}

/// A variable of the environment that is set to something.
#[expect(clippy::disallowed_methods, reason = "a program of its own, without the service's Config")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

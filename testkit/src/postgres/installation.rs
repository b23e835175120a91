//! The machine's PostgreSQL: its binaries, the user they run as, and a fresh folder of data.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;

/// The owner of the tables.
pub(super) const USER: &str = "synckairos";

/// Debian keeps the binaries off the path, a folder a version; the newest is taken.
pub fn find_binary(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| Some((version(&entry.path())?, entry.path()))).max();
    let debian = newest.map(|(_, path)| path.join("bin"));
    let elsewhere = ["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    debian.into_iter().chain(elsewhere).map(|folder| folder.join(name)).find(|path| path.exists())
}

pub(super) fn binary(name: &str) -> PathBuf {
    let found = find_binary(name);
    found.unwrap_or_else(|| panic!("PostgreSQL is not installed: there is no {name} (install the package postgresql)"))
}

fn version(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

/// PostgreSQL refuses to run as root, so root runs it as the user of its package. It dies with the thread that spawns it.
pub(super) fn as_its_user(binary: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if getuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary);
    command
}

/// A fresh folder of data, made once a machine and copied for each server.
pub(super) fn template() -> PathBuf {
    let uid = getuid().as_raw();
    let initdb = binary("initdb");
    let version = Command::new(&initdb).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let version = version.split_whitespace().nth(2).expect("`initdb (PostgreSQL) 15.4`");
    let folder = std::env::temp_dir().join(format!("synckairos-test-postgres-{uid}-{version}"));
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().uid(), uid, "{} is somebody else's", folder.display());
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let template = folder.join("data");
    if !template.exists() {
        make(&initdb, &folder, &template);
    }
    template
}

fn make(initdb: &Path, folder: &Path, template: &Path) {
    let begun = folder.join("begun");
    // What an initdb that was killed left over.
    let _ = std::fs::remove_dir_all(&begun);
    std::fs::create_dir(&begun).unwrap();
    own(&begun);
    let mut command = as_its_user(initdb);
    command.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1"]);
    let done = command.arg("--username").arg(USER).arg("--pgdata").arg(&begun).output().unwrap();
    assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&begun, template).unwrap();
}

/// Gives a folder to the user that PostgreSQL runs as.
fn own(folder: &Path) {
    if getuid().is_root() {
        let done = Command::new("chown").arg("postgres:postgres").arg(folder).status().unwrap();
        assert!(done.success());
    }
}

pub(super) fn copy(template: &Path, data: &Path) {
    let done = Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(data).status().unwrap();
    assert!(done.success());
}

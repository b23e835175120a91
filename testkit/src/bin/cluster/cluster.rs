//! A cluster: its folder, and what the folder says of it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::layout::Layout;
use crate::options::Options;
use crate::programs::variable;

/// How the folder of PostgreSQL's data begins, so that no other is ever removed.
pub const POSTGRES_PREFIX: &str = "synckairos-postgres.";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Where ids, logs and settings are kept.
    pub folder: PathBuf,
    pub layout: Layout,
    pub program: PathBuf,
    /// Outside the folder: PostgreSQL does not run as root, and may not look into root's folders.
    pub postgres_data: PathBuf,
    pub token: String,
}

/// The folder of the repository, which the script knows.
pub fn checkout() -> PathBuf {
    variable("SYNCKAIROS_CHECKOUT").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

pub fn default_folder() -> PathBuf {
    checkout().join("target/cluster")
}

impl Cluster {
    /// The one that the options name.
    pub fn load(options: &Options) -> Result<Self, Failure> {
        Self::read(options.state.clone().unwrap_or_else(default_folder))
    }

    fn read(folder: PathBuf) -> Result<Self, Failure> {
        let text = fs::read_to_string(folder.join("cluster"));
        let text = text.map_err(|_| format!("there is no cluster in {}", folder.display()))?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        let number = |name: &str| value(name).parse().unwrap_or(0);
        let layout = Layout {
            base: number("base"),
            instances: number("instances"),
            masters: number("masters"),
            has_worker: value("has_worker") == "true",
        };
        let (program, postgres_data) = (value("program").into(), value("postgres_data").into());
        Ok(Self { layout, program, postgres_data, token: value("token"), folder })
    }

    pub fn save(&self) -> Result<(), Failure> {
        let Layout { base, instances, masters, has_worker } = self.layout;
        let (program, data, token) = (self.program.display(), self.postgres_data.display(), &self.token);
        let text = format!(
            "base={base}\ninstances={instances}\nmasters={masters}\nhas_worker={has_worker}\nprogram={program}\n\
             postgres_data={data}\ntoken={token}\n"
        );
        self.write("cluster", &text)
    }

    /// Writes a file of the folder that nobody else may read.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let mut options = fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(self.folder.join(name))?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// Removes an earlier cluster from the folder, unless it still runs. A folder that holds something else is refused.
    pub fn clear_folder(&self) -> Result<(), Failure> {
        if self.folder.join("cluster").exists() {
            let earlier = Self::read(self.folder.clone())?;
            if earlier.layout.names().iter().any(|name| earlier.pid(name).is_some()) {
                return Err("one runs already; scripts/cluster status says of what".into());
            }
            earlier.remove_data()?;
            for name in ["processes", "logs"] {
                remove_folder(&self.folder.join(name))?;
            }
            for name in ["cluster", "nginx.conf"] {
                remove_file(&self.folder.join(name))?;
            }
        }
        if fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(format!("{} holds something else; --state names another folder", self.folder.display()).into());
        }
        Ok(())
    }

    /// Makes the folder. The key, the token, and what logs may hold, are for nobody else.
    pub fn make_folder(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder)?;
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        for name in ["processes", "logs", "data"] {
            self.make_subfolder(name)?;
        }
        self.save()
    }

    pub fn make_subfolder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(folder)
    }

    /// Removes everything but the logs.
    pub fn remove_data(&self) -> Result<(), Failure> {
        remove_folder(&self.folder.join("data"))?;
        for name in ["env", "settings.toml"] {
            remove_file(&self.folder.join(name))?;
        }
        let name = self.postgres_data.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(POSTGRES_PREFIX) {
            remove_folder(&self.postgres_data)?;
        }
        Ok(())
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.join("settings.toml")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Our program, with the settings of this cluster and nothing of this environment.
    pub fn synckairos(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        clear_environment(&mut command);
        command.args(arguments).arg("--config").arg(self.settings()).stdin(Stdio::null());
        command
    }

    /// Whether what listens at that address is a ready instance, or passes on to one.
    pub fn is_healthy(&self, name: &str) -> bool {
        let address = self.layout.address(name).to_string();
        let mut command = self.synckairos(&["healthcheck", "--listen-addr", &address]);
        command.output().is_ok_and(|output| output.status.success())
    }
}

/// Nothing of our environment reaches a process, as it may hold settings.
pub fn clear_environment(command: &mut Command) {
    command.env_clear().env("PATH", variable("PATH").unwrap_or_default());
    command.env("HOME", variable("HOME").unwrap_or_else(|| "/".to_owned()));
}

fn remove_folder(folder: &Path) -> Result<(), Failure> {
    if folder.exists() { Ok(fs::remove_dir_all(folder)?) } else { Ok(()) }
}

fn remove_file(file: &Path) -> Result<(), Failure> {
    if file.exists() { Ok(fs::remove_file(file)?) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().map(tempfile::TempDir::keep).unwrap();
        let layout = Layout { base: 20_000, instances: 3, masters: 1, has_worker: true };
        let (program, postgres_data, token) = ("/a b/c".into(), "/d".into(), "x=y".to_owned());
        let cluster = Cluster { folder: folder.clone(), layout, program, postgres_data, token };
        assert!(cluster.save().is_ok());
        let loaded = Cluster::read(folder.clone()).map_err(|failure| failure.to_string());
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(loaded, Ok(cluster));
    }
}

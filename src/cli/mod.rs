//! The command line: a file for each command. Each command takes every setting as a flag.

mod any_certificate;
mod audit;
mod conformance;
mod failure;
mod healthcheck;
mod migrate;
mod serve;
mod signals;
mod token;
mod worker;

use std::ffi::OsString;
use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

pub use failure::Failure;

use crate::config::{self, LogFormat, Pairs, Resolved, SETTINGS, Setting};
use crate::telemetry::{self, Lines};

/// One parsed invocation: the command and its settings.
#[derive(Debug)]
pub struct Call {
    settings: Resolved,
    subcommand: Subcommand,
}

#[derive(Debug)]
enum Subcommand {
    Serve(serve::Args),
    Worker { takes_over: bool },
    Migrate,
    Token(token::Args),
    Audit(audit::Args),
    Healthcheck(healthcheck::Args),
    Conformance(Vec<PathBuf>),
}

impl Call {
    /// Parses the command line and the environment. Without a command it is `serve`.
    pub fn read<A>(arguments: A, environment: &Pairs) -> Result<Self, Failure>
    where
        A: IntoIterator<Item = OsString>,
    {
        let matches = command().try_get_matches_from(arguments)?;
        let (subcommand, matches) = match matches.subcommand() {
            Some(("worker", matches)) => {
                (Subcommand::Worker { takes_over: matches.get_flag(serve::TAKE_OVER_FLAG.0) }, matches)
            }
            Some(("migrate", matches)) => (Subcommand::Migrate, matches),
            Some(("token", matches)) => (Subcommand::Token(token::Args::read(matches)?), matches),
            Some(("audit", matches)) => (Subcommand::Audit(audit::Args::read(matches)), matches),
            Some(("healthcheck", matches)) => (Subcommand::Healthcheck(healthcheck::Args::read(matches)), matches),
            Some(("conformance", matches)) => (Subcommand::Conformance(conformance::files(matches)), matches),
            Some((_, matches)) => (Subcommand::Serve(serve::Args::read(matches)), matches),
            None => (Subcommand::Serve(serve::Args::default()), &matches),
        };
        let file = settings_file(matches)?;
        let settings = config::resolve(file.as_deref(), environment, &flags(matches))?;
        Ok(Self { settings, subcommand })
    }

    /// Starts writing log lines as the settings say.
    pub fn start_telemetry(&self) -> Result<(), Failure> {
        let config = &self.settings.config;
        let lines = match (config.log_format, stderr().is_terminal()) {
            (Some(LogFormat::Json), _) | (None, false) => Lines::Json,
            (Some(LogFormat::Text), false) => Lines::Plain,
            (Some(LogFormat::Text) | None, true) => Lines::Coloured,
        };
        Ok(telemetry::start(&config.rust_log, lines)?)
    }

    /// Runs the command.
    pub async fn run(self) -> Result<(), Failure> {
        match self.subcommand {
            Subcommand::Serve(args) => serve::run(&args, self.settings).await,
            Subcommand::Worker { takes_over } => worker::run(takes_over, self.settings.config).await,
            Subcommand::Migrate => migrate::run(self.settings.config).await,
            Subcommand::Token(args) => token::run(&args, &self.settings.config),
            Subcommand::Audit(args) => audit::run(&args, &self.settings.config).await,
            Subcommand::Healthcheck(args) => healthcheck::run(args, &self.settings.config).await,
            Subcommand::Conformance(files) => conformance::run(&files),
        }
    }
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("synckairos")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A shared-timer service: many instances, one clock")
        .arg(config_flag())
        .args(SETTINGS.iter().map(flag))
        .subcommands([
            serve::command(),
            worker::command(),
            migrate::command(),
            token::command(),
            audit::command(),
            healthcheck::command(),
            conformance::command(),
        ])
}

fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("A TOML file of settings; the environment and flags override it")
        .global(true)
}

fn flag(setting: &Setting) -> Arg {
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name("VALUE")
        .help(format!("{} [{}: {}]", setting.doc, setting.name, setting.default.replace('`', "")))
        .help_heading("Settings (flag, else environment, else file)")
        .hide(!setting.is_built())
        .global(true)
}

fn flags(matches: &ArgMatches) -> Pairs {
    let value = |name: &'static str| matches.get_one::<String>(name).map(|text| (name.to_owned(), text.clone()));
    SETTINGS.iter().filter_map(|setting| value(setting.name)).collect()
}

fn settings_file(matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file).map_err(|source| Failure::SettingsFile { file: file.clone(), source })
    };
    matches.get_one::<PathBuf>("config").map(read).transpose()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(line: &str, environment: &[(&str, &str)]) -> Result<Call, Failure> {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Call::read(line.split(' ').map(OsString::from), &environment)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn no_command_is_serve_and_flags_may_stand_on_either_side() {
        for line in [
            "synckairos --drain-timeout-ms 7",
            "synckairos serve --drain-timeout-ms 7",
            "synckairos --drain-timeout-ms 7 serve",
        ] {
            let call = read(line, &[("DRAIN_TIMEOUT_MS", "9")]).unwrap();
            assert!(matches!(call.subcommand, Subcommand::Serve(_)), "{line}");
            assert_eq!(call.settings.config.drain_timeout.as_millis(), 7, "{line}");
        }
    }

    #[test]
    fn a_file_counts_below_flags_and_environment() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "durable = \"always\"\nmax_uncertainty_ms = 1").unwrap();
        let line = format!("synckairos serve --config {}", file.path().display());
        let config = read(&line, &[("MAX_UNCERTAINTY_MS", "2")]).unwrap().settings.config;
        assert_eq!((config.durable, config.max_uncertainty.as_millis()), (config::Durable::Always, 2));
        assert!(matches!(read("synckairos --config /nowhere", &[]), Err(Failure::SettingsFile { .. })));
    }

    #[test]
    fn a_bad_command_line_is_refused_before_anything_starts() {
        assert!(matches!(read("synckairos dance", &[]), Err(Failure::Usage(_))));
        assert!(matches!(read("synckairos --redis-url h", &[]), Err(Failure::Settings(_))));
        assert!(matches!(read("synckairos", &[("NTP_SERVERS", "h")]), Err(Failure::Settings(_))));
    }

    #[test]
    fn help_names_every_setting_of_this_version() {
        let help = command().render_long_help().to_string();
        for setting in SETTINGS {
            assert_eq!(help.contains(&format!("--{} ", setting.flag())), setting.is_built(), "{}", setting.name);
        }
    }
}

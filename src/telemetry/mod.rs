//! Log lines and metrics: their set-up, and the rules for writing them.
//!
//! - **Log once, where it is handled.** Code that returns an error does not log it.
//! - **One outage, two lines**, however many callers it affects: see [`outage`].
//! - A message reads alone, in lower case; values to search by are fields:
//!   `session.id`, `tenant.id`, `version`, `duration_ms`.
//! - **Never a token, never a body.** A URI may hold `?token=`, so it is never logged:
//!   log the matched route, or [`path`] of it. Headers are never logged.
//! - `error`: something is broken and someone should look. `warn`: it went on, but not
//!   as meant. `info`: the life of the instance. `debug`: the life of a session.

pub mod metrics;
pub mod outage;
pub mod process;

use std::io;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Libraries whose debug lines may hold headers or frames, so a token. They log at most `info`,
/// whatever the filter asks for.
const QUIET_TARGETS: [&str; 6] =
    ["h2=info", "hyper=info", "hyper_util=info", "rustls=info", "tungstenite=info", "tokio_tungstenite=info"];

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// For people, with colours.
    Coloured,
    /// For people, without.
    Plain,
    /// For machines: one JSON object a line.
    Json,
}

/// Why there are no log lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is invalid.
    #[error("failed to read the log filter")]
    Filter(#[from] ParseError),
    /// Logging was set up before.
    #[error("failed to start logging")]
    Started(#[from] TryInitError),
}

/// Starts writing log lines to standard error; standard output is for the output of commands.
pub fn start(filter: &str, lines: Lines) -> Result<(), Error> {
    let filter = quiet_filter(filter)?;
    tracing_subscriber::registry().with(layer(lines, io::stderr).with_filter(filter)).try_init()?;
    Ok(())
}

/// The part of a URI that may be logged.
pub fn path(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or("")
}

/// A library that warns of every connection that ends. Our own log has one line for each outage.
const NOISY_TARGET: &str = "fred";

fn quiet_filter(filter: &str) -> Result<EnvFilter, ParseError> {
    let filter =
        if filter.contains(NOISY_TARGET) { filter.to_owned() } else { format!("{filter},{NOISY_TARGET}=error") };
    QUIET_TARGETS
        .iter()
        .try_fold(EnvFilter::try_new(&filter)?, |filter, quiet| Ok(filter.add_directive(quiet.parse()?)))
}

fn layer<W>(lines: Lines, to: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(to);
    match lines {
        Lines::Coloured => layer.with_ansi(true).boxed(),
        Lines::Plain => layer.with_ansi(false).boxed(),
        Lines::Json => layer.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(filter: &str, lines: Lines, log: impl FnOnce()) -> String {
        let written = Written::default();
        let to = written.clone();
        let layer = layer(lines, move || to.clone()).with_filter(quiet_filter(filter).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn fields_are_searchable_in_json() {
        let line = written("info", Lines::Json, || tracing::info!(session.id = "s", version = 7, "a session expired"));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["session.id"], &line["version"]), (&"s".into(), &7.into()));
        assert_eq!(line["message"], "a session expired");
    }

    #[test]
    fn text_is_one_plain_line() {
        let line = written("info", Lines::Plain, || tracing::info!(version = 7, "a session expired"));
        assert!(line.contains("a session expired version=7") && !line.contains('\u{1b}'), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn libraries_that_see_tokens_stay_quiet() {
        for filter in ["trace", "h2=trace", "hyper=trace,info"] {
            let lines = written(filter, Lines::Plain, || {
                tracing::debug!(target: "h2::codec", "authorization: Bearer a.b.c");
                tracing::trace!(target: "hyper::proto", "authorization: Bearer a.b.c");
            });
            assert_eq!(lines, "", "{filter}");
        }
    }

    #[test]
    fn a_noisy_library_is_quiet_unless_the_filter_names_it() {
        for (filter, is_logged) in [("info", false), ("", false), ("fred=info", true), ("error,fred=debug", true)] {
            let lines = written(filter, Lines::Plain, || tracing::warn!(target: "fred::router", "it ended"));
            assert_eq!(!lines.is_empty(), is_logged, "{filter}: {lines}");
        }
    }

    #[test]
    fn a_path_holds_no_token() {
        assert_eq!(path("/v1/ws?token=a.b.c"), "/v1/ws");
        assert_eq!(path("/v1/ws"), "/v1/ws");
    }
}

//! A progress bar, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, sleep_until};

const BAR_TEMPLATE: &str = "{msg:<24} [{bar:40}] {pos}/{len}";

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

pub struct Progress(ProgressBar);

impl Progress {
    /// Drawn only on a terminal.
    pub fn new() -> Self {
        let style = ProgressStyle::with_template(BAR_TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
    }

    /// Another part begins.
    pub fn begin(&self, what: &'static str, steps: usize) {
        self.0.set_message(what);
        self.0.set_length(steps as u64);
        self.0.set_position(0);
    }

    pub fn at(&self, step: u64) {
        self.0.set_position(step);
    }

    /// Waits until then, in seconds of which it tells.
    pub async fn until(&self, what: &'static str, end: Instant) {
        let began = Instant::now();
        let span = end.saturating_duration_since(began);
        self.begin(what, usize::try_from(span.as_secs()).unwrap_or_default());
        while Instant::now() + REDRAW_INTERVAL < end {
            sleep(REDRAW_INTERVAL).await;
            self.at(began.elapsed().as_secs());
        }
        sleep_until(end).await;
    }

    pub async fn through(&self, what: &'static str, span: Duration) {
        self.until(what, Instant::now() + span).await;
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

//! The scenarios, and what they share.

pub mod expiry;
pub mod fanout;
pub mod hotpath;
pub mod idle;
pub mod many;
pub mod round;
pub mod soak;
pub mod storm;

use std::sync::Arc;
use std::time::Duration;

use crate::audience::{Audience, AudienceSettings, Placement};
use crate::failure::Failure;
use crate::host::limits::check_room;
use crate::host::meter::Groups;
use crate::progress::Progress;
use crate::report::Report;
use crate::session::{self, LONG_BANK_MS, Session};
use crate::target::{Target, Transport};

/// A deployment, and the means to put it under load.
pub struct Bench {
    pub target: Target,
    pub groups: Groups,
    pub terms: AudienceSettings,
    pub open_files: usize,
    pub progress: Progress,
}

impl Bench {
    /// Sessions whose time does not run out.
    pub async fn sessions(&self, count: usize) -> Result<Arc<[Session]>, Failure> {
        self.progress.begin("sessions", count);
        Ok(session::make(&self.target, count, |_| LONG_BANK_MS).await?.into())
    }

    /// Connected subscribers of those sessions.
    pub async fn audience(
        &self,
        sessions: &[Session],
        count: usize,
        transports: &[Transport],
    ) -> Result<(Audience, Duration), Failure> {
        self.check_room(count)?;
        let mut audience = Audience::start(&self.target, sessions, self.terms).await?;
        let opened_in = audience.add(count, &self.placement(sessions, transports), &self.progress).await?;
        Ok((audience, opened_in))
    }

    /// Refuses more subscribers than all drivers may open files for.
    pub fn check_room(&self, connections: usize) -> Result<(), Failure> {
        check_room(connections, self.terms.drivers, self.open_files)
    }

    pub fn placement<'a>(&self, sessions: &[Session], transports: &'a [Transport]) -> Placement<'a> {
        Placement { sessions: sessions.len(), instances: self.target.instances.len(), transports }
    }

    /// A report that says what it ran against.
    pub fn report(&self, scenario: &str) -> Report {
        let mut report = Report::of(scenario);
        report.setting("instances", self.target.instances.len());
        report.setting("drivers", self.terms.drivers);
        report
    }
}

/// The names of transports, as a setting.
pub fn names(transports: &[Transport]) -> String {
    transports.iter().map(|transport| transport.name()).collect::<Vec<_>>().join(",")
}

/// A span in seconds, of at most a week.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    if (0.0..=604_800.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be seconds, up to a week".to_owned())
    }
}

/// A rate a second, up to a million.
pub fn per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|_| "must be a number".to_owned())?;
    if rate > 0.0 && rate <= 1e6 { Ok(rate) } else { Err("must be more than 0 and at most a million".to_owned()) }
}

/// A number from 1 to `MOST`: nothing here is without a bound.
pub fn up_to<const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("must be a number from 1 to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_bounded() {
        assert_eq!(up_to::<5>("5"), Ok(5));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(per_second("0.1"), Ok(0.1));
        for wrong in ["0", "6", "-1", "x", ""] {
            assert!(up_to::<5>(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1", "604801", "NaN", "inf", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
            assert!(per_second(wrong).is_err() || wrong == "604801", "{wrong}");
        }
    }
}

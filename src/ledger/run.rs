//! Runs: processes that kept their sessions in memory, and how each ended.

use crate::domain::session::restore::{Gap, Outage};
use crate::domain::time::Timestamp;

/// The most runs, and the most outages, that are read.
pub const MAX_RUNS: i64 = 10_000;

/// One process that served alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it started.
    pub started_at: Timestamp,
    /// When it stopped; `None` if it was killed or still runs.
    pub stopped_at: Option<Timestamp>,
}

/// Runs and outages, both oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunHistory {
    /// Runs that have ended.
    pub runs: Vec<Run>,
    /// Outages of five seconds or more.
    pub outages: Vec<Outage>,
}

/// What happened to a session between two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// Whether every process that may have held it stopped in order.
    pub is_orderly: bool,
    /// The first span in which no process served it.
    pub gap: Option<Gap>,
}

impl RunHistory {
    /// What happened to a session of the epoch that began at `epoch`, until the run that started
    /// at `started_at`. If no run is known to have held it, the stop was not in order.
    pub fn since(&self, epoch: Timestamp, started_at: Timestamp) -> Interruption {
        let first = self.runs.iter().rposition(|run| run.started_at <= epoch);
        let held = first.map_or(&[][..], |first| &self.runs[first..]);
        let starts = held.iter().skip(1).map(|run| run.started_at).chain([started_at]);
        let stops = held.iter().zip(starts).filter_map(|(run, until)| Some(Outage { from: run.stopped_at?, until }));
        let outages = self.outages.iter().filter(|outage| outage.until > epoch).copied().map(Gap::Outage);
        let gaps = stops.map(Gap::Stop).chain(outages);
        Interruption {
            is_orderly: first.is_some() && held.iter().all(|run| run.stopped_at.is_some()),
            gap: gaps.min_by_key(|gap| gap.outage().from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(runs: &[(i64, Option<i64>)], outages: &[(i64, i64)], epoch: i64) -> (bool, Option<Gap>) {
        let at = Timestamp::from_ms;
        let run =
            |(started, stopped): &(i64, Option<i64>)| Run { started_at: at(*started), stopped_at: stopped.map(at) };
        let runs = runs.iter().map(run).collect();
        let outages = outages.iter().map(|(gone, back)| span(*gone, *back)).collect();
        let Interruption { is_orderly, gap } = RunHistory { runs, outages }.since(at(epoch), at(900));
        (is_orderly, gap)
    }

    fn span(from: i64, until: i64) -> Outage {
        Outage { from: Timestamp::from_ms(from), until: Timestamp::from_ms(until) }
    }

    #[test]
    fn an_orderly_stop_is_a_gap_without_loss() {
        assert_eq!(since(&[(100, Some(200))], &[], 150), (true, Some(Gap::Stop(span(200, 900)))));
        assert_eq!(since(&[(100, Some(200)), (300, Some(400))], &[], 150), (true, Some(Gap::Stop(span(200, 300)))));
        assert_eq!(since(&[(100, Some(200)), (300, Some(400))], &[], 300), (true, Some(Gap::Stop(span(400, 900)))));
    }

    #[test]
    fn a_kill_after_the_session_was_written_is_a_loss() {
        assert_eq!(since(&[(100, None)], &[], 150), (false, None));
        assert_eq!(since(&[(100, None), (300, Some(400))], &[], 150), (false, Some(Gap::Stop(span(400, 900)))));
        assert_eq!(since(&[(100, None), (300, Some(400))], &[], 350), (true, Some(Gap::Stop(span(400, 900)))));
        assert_eq!(since(&[], &[], 150), (false, None));
        assert_eq!(since(&[(300, Some(400))], &[], 150), (false, None), "the run that held it is unknown");
    }

    #[test]
    fn the_first_gap_counts_be_it_a_stop_or_an_outage() {
        let runs = [(100, None), (300, Some(400))];
        assert_eq!(since(&runs, &[(190, 300)], 150), (false, Some(Gap::Outage(span(190, 300)))));
        assert_eq!(since(&runs, &[(90, 100), (430, 900)], 150), (false, Some(Gap::Stop(span(400, 900)))));
    }
}

//! All subscribers of a run: in this process, or spread over driver processes of their own.

pub mod driver;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, sleep};

use crate::crowd::Crowd;
use crate::crowd::protocol::{Counts, CrowdPlan, Harvest, Reply, Request, Sent, SubscriberSpec};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{Target, Transport};
use driver::Driver;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// All streams open within this time, or the run goes on without the others.
const OPEN_TIMEOUT: Duration = Duration::from_mins(3);

/// How subscribers connect.
#[derive(Debug, Clone, Copy)]
pub struct AudienceSettings {
    /// Processes that hold them; one is this process.
    pub drivers: usize,
    /// Addresses each of those connects from; none if the deployment is elsewhere.
    pub sources: u8,
    /// Streams that open at a time.
    pub max_opening: usize,
}

pub struct Audience {
    drivers: Drivers,
    terms: AudienceSettings,
    /// Subscribers so far.
    added: usize,
}

enum Drivers {
    InProcess(Crowd),
    Spread(Vec<Driver>),
}

impl Audience {
    /// An audience without subscribers. `terms.max_opening` is divided among the drivers.
    pub async fn start(target: &Target, sessions: &[Session], terms: AudienceSettings) -> Result<Self, Failure> {
        let max_opening = terms.max_opening.div_ceil(terms.drivers);
        let plan = CrowdPlan { target: target.clone(), sessions: sessions.to_vec(), max_opening };
        if terms.drivers == 1 {
            return Ok(Self { drivers: Drivers::InProcess(Crowd::of(plan)), terms, added: 0 });
        }
        let drivers = (0..terms.drivers).map(|_| Driver::start()).collect::<Result<_, _>>()?;
        let mut audience = Self { drivers: Drivers::Spread(drivers), terms, added: 0 };
        audience.request(&Request::Reset(plan)).await?;
        Ok(audience)
    }

    /// Adds `count` subscribers and waits until their streams are open: over the sessions in turn, those of a session
    /// over the instances and transports in turn.
    pub async fn add(&mut self, count: usize, plan: &Placement<'_>, progress: &Progress) -> Result<Duration, Failure> {
        let began = Instant::now();
        let specs: Vec<_> = (self.added..self.added + count).map(|nth| self.terms.spec(nth, plan)).collect();
        self.added += count;
        let drivers = self.terms.drivers;
        let share = |driver: usize| Request::Add(specs.iter().skip(driver).step_by(drivers).cloned().collect());
        self.request_each(share).await?;
        let all = self.added;
        progress.begin("subscribers", all);
        self.until(OPEN_TIMEOUT, |counts| {
            progress.at(counts.open);
            counts.open + counts.failed >= all as u64
        })
        .await?;
        Ok(began.elapsed())
    }

    pub async fn counts(&mut self) -> Result<Counts, Failure> {
        self.request(&Request::Count).await
    }

    /// Waits until `is_met`, for at most `span`; returns the counts then.
    pub async fn until(&mut self, span: Duration, is_met: impl Fn(&Counts) -> bool) -> Result<Counts, Failure> {
        let by = Instant::now() + span;
        loop {
            let counts = self.counts().await?;
            if is_met(&counts) || Instant::now() > by {
                return Ok(counts);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends a request that is answered with counts.
    pub async fn request(&mut self, request: &Request) -> Result<Counts, Failure> {
        let answers = self.request_each(|_| request.clone()).await?;
        let counts = answers.into_iter().filter_map(|answer| match answer {
            Reply::Counts(counts) => Some(counts),
            Reply::Harvest(_) => None,
        });
        Ok(counts.reduce(Counts::add).unwrap_or_default())
    }

    pub async fn harvest(&mut self, sent: &[Sent]) -> Result<Harvest, Failure> {
        let answers = self.request_each(|_| Request::Harvest(sent.to_vec())).await?;
        let harvests = answers.into_iter().filter_map(|answer| match answer {
            Reply::Harvest(harvest) => Some(harvest),
            Reply::Counts(_) => None,
        });
        Ok(harvests.reduce(Harvest::add).unwrap_or_default())
    }

    /// Drivers work at the same time: all get their request before the first reply is awaited.
    async fn request_each(&mut self, request: impl Fn(usize) -> Request) -> Result<Vec<Reply>, Failure> {
        match &mut self.drivers {
            Drivers::InProcess(crowd) => Ok(vec![crowd.answer(request(0))]),
            Drivers::Spread(drivers) => {
                for (nth, driver) in drivers.iter_mut().enumerate() {
                    driver.send(&request(nth)).await?;
                }
                let mut answers = Vec::with_capacity(drivers.len());
                for driver in drivers {
                    answers.push(driver.answer().await?);
                }
                Ok(answers)
            }
        }
    }
}

/// The sessions, instances and transports of subscribers.
pub struct Placement<'a> {
    pub sessions: usize,
    pub instances: usize,
    pub transports: &'a [Transport],
}

impl AudienceSettings {
    fn spec(&self, nth: usize, plan: &Placement<'_>) -> SubscriberSpec {
        let (session, round) = (nth % plan.sessions, nth / plan.sessions);
        // Every transport is followed on every instance.
        let turn = round / plan.instances;
        SubscriberSpec {
            session,
            instance: (session + round) % plan.instances,
            transport: plan.transports[turn % plan.transports.len()],
            from: self.source(nth),
        }
    }

    /// Each driver has addresses of its own, so that all have all of a destination's ports.
    fn source(&self, nth: usize) -> Option<IpAddr> {
        let driver = u8::try_from(nth % self.drivers).ok()?;
        let turn = u8::try_from((nth / self.drivers).checked_rem(self.sources.into())?).ok()?;
        Some(Ipv4Addr::new(127, 0, driver + 1, turn + 1).into())
    }
}

/// Runs a driver process: a request in, a reply out, until its input ends.
pub async fn drive() -> Result<(), Failure> {
    let mut lines = BufReader::new(driver::input()?).lines();
    let mut out = driver::output()?;
    let mut crowd = Crowd::of(CrowdPlan {
        target: Target { instances: Vec::new(), token: None },
        sessions: Vec::new(),
        max_opening: 1,
    });
    while let Some(line) = lines.next_line().await? {
        let answer = crowd.answer(serde_json::from_str(&line)?);
        out.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_spread_over_everything() {
        let terms = AudienceSettings { drivers: 2, sources: 3, max_opening: 1 };
        let plan = Placement { sessions: 2, instances: 2, transports: &[Transport::Ws, Transport::Sse] };
        let specs: Vec<_> = (0..6).map(|nth| terms.spec(nth, &plan)).collect();
        let told: Vec<_> = specs
            .iter()
            .map(|seat| (seat.session, seat.instance, seat.transport.name(), seat.from.unwrap().to_string()))
            .map(|(session, instance, transport, from)| format!("{session} {instance} {transport} {from}"))
            .collect();
        let expected = [
            "0 0 ws 127.0.1.1",
            "1 1 ws 127.0.2.1",
            "0 1 ws 127.0.1.2",
            "1 0 ws 127.0.2.2",
            "0 0 sse 127.0.1.3",
            "1 1 sse 127.0.2.3",
        ];
        assert_eq!(told, expected);
        assert_eq!(AudienceSettings { sources: 0, ..terms }.spec(0, &plan).from, None);
    }
}

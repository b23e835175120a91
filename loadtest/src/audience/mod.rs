//! All subscribers of a run: in this process, or spread over driver processes of their own.

pub mod driver;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, sleep};

use crate::crowd::Crowd;
use crate::crowd::order::{Answer, Ask, Company, Counts, Harvest, Seat, Sent};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{Target, Transport};
use driver::Driver;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// All are let in within this time, or the run goes on without those who were not.
const OPENS_WITHIN: Duration = Duration::from_mins(3);

/// How subscribers are let in.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Processes that hold them; one is this process.
    pub drivers: usize,
    /// Addresses each of those connects from; none if the deployment is elsewhere.
    pub sources: u8,
    /// So many open their streams at a time.
    pub at_once: usize,
}

pub struct Audience {
    parts: Parts,
    terms: Terms,
    /// Those that were let in.
    seated: usize,
}

enum Parts {
    Here(Crowd),
    Spread(Vec<Driver>),
}

impl Audience {
    /// Nobody yet. `company.at_once` is shared out among the drivers.
    pub async fn gather(target: &Target, sessions: &[Session], terms: Terms) -> Result<Self, Failure> {
        let at_once = terms.at_once.div_ceil(terms.drivers);
        let company = Company { target: target.clone(), sessions: sessions.to_vec(), at_once };
        if terms.drivers == 1 {
            return Ok(Self { parts: Parts::Here(Crowd::of(company)), terms, seated: 0 });
        }
        let drivers = (0..terms.drivers).map(|_| Driver::start()).collect::<Result<_, _>>()?;
        let mut audience = Self { parts: Parts::Spread(drivers), terms, seated: 0 };
        audience.ask(&Ask::Gather(company)).await?;
        Ok(audience)
    }

    /// Lets more in and waits until their streams are open: `count` of them over the sessions in turn, those of a
    /// session over the instances and transports in turn.
    pub async fn seat(&mut self, count: usize, plan: &Seating<'_>, progress: &Progress) -> Result<Duration, Failure> {
        let began = Instant::now();
        let seats: Vec<_> = (self.seated..self.seated + count).map(|nth| self.terms.seat(nth, plan)).collect();
        self.seated += count;
        let drivers = self.terms.drivers;
        let share = |driver: usize| Ask::Seat(seats.iter().skip(driver).step_by(drivers).cloned().collect());
        self.ask_each(share).await?;
        let all = self.seated;
        progress.begin("subscribers", all);
        self.until(OPENS_WITHIN, |counts| {
            progress.at(counts.open);
            counts.open + counts.failed >= all as u64
        })
        .await?;
        Ok(began.elapsed())
    }

    pub async fn counts(&mut self) -> Result<Counts, Failure> {
        self.ask(&Ask::Count).await
    }

    /// Waits until they stand as they should, or until it has taken too long; gives how they stand then.
    pub async fn until(&mut self, span: Duration, is_so: impl Fn(&Counts) -> bool) -> Result<Counts, Failure> {
        let by = Instant::now() + span;
        loop {
            let counts = self.counts().await?;
            if is_so(&counts) || Instant::now() > by {
                return Ok(counts);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks for what is answered with counts.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Counts, Failure> {
        let answers = self.ask_each(|_| ask.clone()).await?;
        let counts = answers.into_iter().filter_map(|answer| match answer {
            Answer::Counts(counts) => Some(counts),
            Answer::Harvest(_) => None,
        });
        Ok(counts.reduce(Counts::add).unwrap_or_default())
    }

    pub async fn harvest(&mut self, sent: &[Sent]) -> Result<Harvest, Failure> {
        let answers = self.ask_each(|_| Ask::Harvest(sent.to_vec())).await?;
        let harvests = answers.into_iter().filter_map(|answer| match answer {
            Answer::Harvest(harvest) => Some(harvest),
            Answer::Counts(_) => None,
        });
        Ok(harvests.reduce(Harvest::add).unwrap_or_default())
    }

    /// Drivers work at the same time: all are asked before the first is waited for.
    async fn ask_each(&mut self, ask: impl Fn(usize) -> Ask) -> Result<Vec<Answer>, Failure> {
        match &mut self.parts {
            Parts::Here(crowd) => Ok(vec![crowd.answer(ask(0))]),
            Parts::Spread(drivers) => {
                for (nth, driver) in drivers.iter_mut().enumerate() {
                    driver.tell(&ask(nth)).await?;
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

/// Where subscribers are seated.
pub struct Seating<'a> {
    pub sessions: usize,
    pub instances: usize,
    pub transports: &'a [Transport],
}

impl Terms {
    fn seat(&self, nth: usize, plan: &Seating<'_>) -> Seat {
        let (session, round) = (nth % plan.sessions, nth / plan.sessions);
        // Every transport is followed on every instance.
        let turn = round / plan.instances;
        Seat {
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

/// What a driver process does: a line in, a line out, until nobody asks any more.
pub async fn drive() -> Result<(), Failure> {
    let mut lines = BufReader::new(driver::input()?).lines();
    let mut out = driver::output()?;
    let mut crowd =
        Crowd::of(Company { target: Target { instances: Vec::new(), token: None }, sessions: Vec::new(), at_once: 1 });
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
        let terms = Terms { drivers: 2, sources: 3, at_once: 1 };
        let plan = Seating { sessions: 2, instances: 2, transports: &[Transport::Ws, Transport::Sse] };
        let seats: Vec<_> = (0..6).map(|nth| terms.seat(nth, &plan)).collect();
        let told: Vec<_> = seats
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
        assert_eq!(Terms { sources: 0, ..terms }.seat(0, &plan).from, None);
    }
}

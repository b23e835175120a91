//! A client: commands, one after the other, asked again with the same key while nobody
//! says what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use synckairos::app::error::Error;
use synckairos::app::{Answer, Asked, Expected};
use synckairos::clock::Clock as _;
use synckairos::domain::chain::Digest;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::position::Position;
use synckairos::domain::principal::{Principal, Role};
use synckairos::domain::session::command::Command;
use synckairos::domain::time::Timestamp;
use synckairos::wire::command::{self, Wish};
use synckairos::wire::create::CreateBody;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout};

use super::instance::Instance;
use super::plan::Step;
use super::record::{Event, Said, Try};
use super::world::World;
use crate::harness::dice::Dice;

/// A client gives up on an answer after so long.
const PATIENCE: Duration = Duration::from_secs(4);

/// How often a command is asked, with the pauses in between enough to outlast any fault.
const TRIES: usize = 12;

pub fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub fn key(session: usize) -> SessionKey {
    SessionKey { tenant: tenant(), session: SessionId::new(format!("s{session}")).unwrap() }
}

/// A client of the world.
pub struct Client {
    world: Arc<World>,
    number: usize,
    dice: Dice,
    /// Where it last saw each session.
    seen: BTreeMap<usize, Position>,
}

/// A command, and who asks it.
#[derive(Clone)]
struct Wanted {
    by: Principal,
    key: SessionKey,
    command: Option<Command>,
    body: Value,
    expected: Option<u64>,
    idempotency: Option<(String, Digest)>,
}

impl Client {
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        let dice = world.around.plan.dice("client", number as u64);
        Self { world: Arc::clone(world), number, dice, seen: BTreeMap::new() }
    }

    /// Does everything in its time.
    pub async fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            sleep_until(self.world.around.truth.after(Duration::from_millis(step.at_ms))).await;
            self.carry_out(&step).await;
        }
    }

    async fn carry_out(&mut self, step: &Step) {
        let wanted = self.wanted(step);
        for attempt in 0..TRIES {
            let said = self.ask(&wanted).await;
            if let Said::Done { at, .. } | Said::Refused(_, at) | Said::Stale(at) | Said::Exists(at) = &said {
                self.seen.insert(step.session, *at);
            }
            let is_known = !matches!(said, Said::Away(_) | Said::Unknown);
            if is_known || (said == Said::Unknown && wanted.idempotency.is_none()) {
                return;
            }
            sleep(Duration::from_millis((50 << attempt.min(4)) + self.dice.below(100) as u64)).await;
        }
    }

    fn wanted(&self, step: &Step) -> Wanted {
        let subject = format!("c{}-{}", self.number, step.number);
        let command = step.command.as_ref().map(|(name, body)| {
            let Value::Object(body) = body.clone() else { panic!("an object") };
            let Wish::Command(command) = command::read(name, body).unwrap().wish else { panic!("a command") };
            command
        });
        let seen = self.seen.get(&step.session).filter(|_| step.names_version && command.is_some());
        Wanted {
            by: principal(&subject),
            key: key(step.session),
            command,
            body: self.world.around.plan.sessions[step.session].clone(),
            expected: seen.map(|position| position.version),
            idempotency: step.has_key.then(|| (subject.clone(), Digest::of(subject.as_bytes()))),
        }
    }

    async fn ask(&mut self, wanted: &Wanted) -> Said {
        let slot = self.dice.below(self.world.around.plan.instances);
        let began = self.world.around.truth.now();
        let (arrived, said) = match self.world.instance(slot) {
            None => {
                sleep(Duration::from_millis(2)).await;
                (None, Said::Away("the instance"))
            }
            Some(instance) => self.ask_of(&instance, wanted).await,
        };
        let Wanted { by, key, command, expected, idempotency, .. } = wanted.clone();
        let tried = Try {
            subject: by.subject.into(),
            key,
            command,
            expected,
            has_key: idempotency.is_some(),
            arrived,
            instance: slot,
            began,
            said: said.clone(),
        };
        self.world.record.add(Event::Tried(tried));
        said
    }

    async fn ask_of(&mut self, instance: &Arc<Instance>, wanted: &Wanted) -> (Option<Timestamp>, Said) {
        if !self.travels().await {
            sleep(PATIENCE).await;
            return (None, Said::Unknown);
        }
        let arrived = instance.clock.now();
        let (tell, told) = oneshot::channel();
        let (asked, wanted) = (Arc::clone(instance), wanted.clone());
        instance.running.spawn("call", async move {
            let _ = tell.send(carried_out(&asked, wanted, arrived).await);
        });
        let said = match timeout(PATIENCE, told).await {
            Ok(Ok(said)) if self.travels().await => said,
            Ok(Ok(_)) | Ok(Err(_)) | Err(_) => Said::Unknown,
        };
        (Some(arrived), said)
    }

    /// The way to an instance, or back. Whether it gets there.
    async fn travels(&mut self) -> bool {
        let weather = self.world.around.plan.weather;
        sleep(Duration::from_millis(1 + self.dice.below(weather.delay_ms) as u64)).await;
        self.dice.below(1_000) >= weather.lost
    }
}

/// Somebody whom nobody else is.
fn principal(subject: &str) -> Principal {
    Principal {
        tenant: tenant(),
        subject: subject.to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        expires_at: None,
    }
}

async fn carried_out(instance: &Instance, wanted: Wanted, arrived: Timestamp) -> Said {
    let Wanted { by, key, command, body, expected, idempotency } = wanted;
    let answer = match command {
        Some(command) => {
            let expected = expected.map(Expected::Version).into_iter().collect();
            let asked = Asked { expected, idempotency, ..Asked::plainly(Wish::Command(command)) };
            instance.sessions.command(&by, &key.session, asked, arrived).await
        }
        None => {
            let Value::Object(body) = body else { panic!("an object") };
            let body: CreateBody = command::parsed(body).unwrap();
            let new = body.into_new(key.session.clone()).unwrap();
            instance.sessions.create(&by, new, idempotency, arrived).await
        }
    };
    said(answer)
}

fn said(answer: Result<Answer, Error>) -> Said {
    match answer {
        Ok(answer) => Said::Done { at: answer.position(), replayed: answer.replayed },
        Err(Error::Refused(why, held)) => Said::Refused(why, held.session.position),
        Err(Error::Stale(held)) => Said::Stale(held.session.position),
        Err(Error::Exists(held)) => Said::Exists(held.session.position),
        Err(Error::NoSession) => Said::Missing,
        Err(Error::StoreAway(_)) => Said::Away("the store"),
        Err(Error::LedgerAway(_)) => Said::Away("the ledger"),
        Err(Error::Restoring) => Said::Away("the turn"),
        Err(Error::Contended(_)) => Said::Away("a race"),
        Err(Error::Unknown(_)) => Said::Unknown,
        Err(error) => Said::Odd(format!("{error:?}")),
    }
}

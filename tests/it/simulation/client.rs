//! A client: commands, one after the other, asked again with the same key while nobody
//! says what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value};
use synckairos::app::create::IdSource;
use synckairos::app::error::Error;
use synckairos::app::{CommandRequest, CommandResult, Precondition, StoredSession};
use synckairos::clock::Clock as _;
use synckairos::domain::chain::Digest;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::position::Position;
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::Session;
use synckairos::domain::session::command::Command;
use synckairos::domain::time::Timestamp;
use synckairos::wire::command::{self, CommandInput as Wished};
use synckairos::wire::create::CreateBody;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::instance::Instance;
use super::plan::{Step, StepKind};
use super::record::{Event, Reply, Try, Wish};
use super::world::World;
use crate::harness::rng::Rng;

/// A client gives up on an answer after so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a command is asked, with the pauses in between enough to outlast any fault.
const MAX_ATTEMPTS: usize = 12;

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
    rng: Rng,
    /// Where it last saw each session.
    seen: BTreeMap<usize, Position>,
    /// What was asked beside.
    twins: Vec<JoinHandle<()>>,
}

/// What was answered, and the session that came with it.
type ReplyAndSession = (Reply, Option<Arc<Session>>);

/// A command, and who asks it.
#[derive(Clone)]
struct CommandAttempt {
    by: Principal,
    key: SessionKey,
    what: StepKind,
    wish: Wish,
    body: Value,
    expected: Option<u64>,
    idempotency: Option<(String, Digest)>,
}

impl Client {
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        let rng = world.around.plan.rng("client", number as u64);
        Self { world: Arc::clone(world), number, rng, seen: BTreeMap::new(), twins: Vec::new() }
    }

    /// Does everything in its time.
    pub async fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            sleep_until(self.world.around.truth.after(Duration::from_millis(step.at_ms))).await;
            self.carry_out(&step).await;
        }
        for twin in join_all(self.twins).await {
            twin.unwrap();
        }
    }

    async fn carry_out(&mut self, step: &Step) {
        let wanted = self.wanted(step);
        if step.is_doubled {
            let twin = Self::new(&self.world, 1_000 + 100 * self.number + step.number);
            let wanted = wanted.clone();
            self.twins.push(tokio::spawn(async move { twin.ask_once(&wanted).await }));
        }
        for attempt in 0..MAX_ATTEMPTS {
            let said = self.ask(&wanted).await;
            if let Reply::Done { at, .. } | Reply::Refused(_, at) | Reply::Stale(at) | Reply::Stands(at) = &said {
                self.seen.insert(step.session, *at);
            }
            let is_known = !matches!(said, Reply::Away(_) | Reply::Unknown);
            if is_known || (said == Reply::Unknown && wanted.idempotency.is_none()) {
                return;
            }
            sleep(Duration::from_millis((50 << attempt.min(4)) + self.rng.below(100) as u64)).await;
        }
    }

    /// Whatever comes of it.
    async fn ask_once(mut self, wanted: &CommandAttempt) {
        self.ask(wanted).await;
    }

    fn wanted(&self, step: &Step) -> CommandAttempt {
        let subject = format!("c{}-{}", self.number, step.number);
        let wish = wish(&step.what);
        let names_version = step.names_version && !matches!(wish, Wish::Create | Wish::Look);
        let seen = self.seen.get(&step.session).filter(|_| names_version);
        CommandAttempt {
            by: principal(&subject),
            key: key(step.session),
            what: step.what.clone(),
            wish,
            body: self.world.around.plan.sessions[step.session].clone(),
            expected: seen.map(|position| position.version),
            idempotency: step.has_key.then(|| (subject.clone(), Digest::of(subject.as_bytes()))),
        }
    }

    async fn ask(&mut self, wanted: &CommandAttempt) -> Reply {
        let slot = self.rng.below(self.world.around.plan.instances);
        let began = self.world.around.truth.now();
        let (arrived, (said, shown)) = match self.world.instance(slot) {
            None => {
                sleep(Duration::from_millis(2)).await;
                (None, (Reply::Away("the instance"), None))
            }
            Some(instance) => self.ask_of(&instance, wanted).await,
        };
        let CommandAttempt { by, key, what, wish, expected, idempotency, .. } = wanted.clone();
        let tried = Try {
            subject: by.subject.into(),
            key,
            what,
            wish,
            expected,
            has_key: idempotency.is_some(),
            arrived,
            instance: slot,
            began,
            said: said.clone(),
            shown,
        };
        self.world.record.add(Event::Tried(tried));
        said
    }

    async fn ask_of(
        &mut self,
        instance: &Arc<Instance>,
        wanted: &CommandAttempt,
    ) -> (Option<Timestamp>, ReplyAndSession) {
        if !self.travels().await {
            sleep(REQUEST_TIMEOUT).await;
            return (None, (Reply::Unknown, None));
        }
        let arrived = instance.clock.now();
        let (tell, told) = oneshot::channel();
        let (asked, wanted) = (Arc::clone(instance), wanted.clone());
        instance.running.spawn("call", async move {
            let _ = tell.send(carried_out(&asked, wanted, arrived).await);
        });
        let said = match timeout(REQUEST_TIMEOUT, told).await {
            Ok(Ok(said)) if self.travels().await => said,
            Ok(Ok(_) | Err(_)) | Err(_) => (Reply::Unknown, None),
        };
        (Some(arrived), said)
    }

    /// The way to an instance, or back. Whether it gets there.
    async fn travels(&mut self) -> bool {
        let weather = self.world.around.plan.weather;
        sleep(Duration::from_millis(1 + self.rng.below(weather.delay_ms) as u64)).await;
        self.rng.below(1_000) >= weather.lost
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
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    }
}

fn wish(what: &StepKind) -> Wish {
    match what {
        StepKind::Create => Wish::Create,
        StepKind::Delete => Wish::Delete,
        StepKind::Look => Wish::Look,
        StepKind::Command(name, body) => match command::read(name, object(body)).unwrap().0 {
            Wished::Command(command) => Wish::Command(command),
            Wished::Revert { to_version } => Wish::Revert(to_version),
        },
    }
}

fn object(body: &Value) -> Map<String, Value> {
    body.as_object().unwrap().clone()
}

async fn carried_out(instance: &Instance, wanted: CommandAttempt, arrived: Timestamp) -> ReplyAndSession {
    let CommandAttempt { by, key, wish, body, expected, idempotency, .. } = wanted;
    let (sessions, id) = (&instance.sessions, &key.session);
    let expected = expected.map(Precondition::Version).into_iter().collect();
    let asked = |input| CommandRequest { input, expected, idempotency: idempotency.clone(), lag_ms: 0 };
    match wish {
        Wish::Command(command) => {
            said(sessions.command(&by, id, asked(Wished::Command(command)), arrived).await.map(done))
        }
        Wish::Revert(to_version) => {
            said(sessions.command(&by, id, asked(Wished::Revert { to_version }), arrived).await.map(done))
        }
        Wish::Delete => said(
            sessions
                .delete(&by, id, asked(Wished::Command(Command::Delete)), arrived)
                .await
                .map(|_| (Reply::Gone, None)),
        ),
        Wish::Look => said(sessions.read(&by, id).await.map(stands)),
        Wish::Create => {
            let body: CreateBody = command::parsed(object(&body)).unwrap();
            let new = body.into_new(id.clone()).unwrap();
            said(sessions.create(&by, new, IdSource::Caller, idempotency, arrived).await.map(done))
        }
    }
}

fn done(answer: CommandResult) -> ReplyAndSession {
    (Reply::Done { at: answer.position(), replayed: answer.replayed }, Some(answer.stored.session))
}

fn stands(held: StoredSession) -> ReplyAndSession {
    (Reply::Stands(held.session.position), Some(held.session))
}

fn said(answer: Result<ReplyAndSession, Error>) -> ReplyAndSession {
    let error = match answer {
        Ok(told) => return told,
        Err(error) => error,
    };
    let (said, held) = match error {
        Error::Refused(why, held, _) => (Reply::Refused(why, held.session.position), Some(held)),
        Error::Stale(held) => (Reply::Stale(held.session.position), Some(held)),
        Error::Exists(held) => (Reply::Exists(held.session.position), Some(held)),
        // As if there were no such version to go back to.
        Error::SessionNotFound | Error::Invalid { .. } => (Reply::Missing, None),
        Error::StoreUnavailable(_) => (Reply::Away("the store"), None),
        Error::LedgerUnavailable(_) => (Reply::Away("the ledger"), None),
        Error::Restoring => (Reply::Away("the turn"), None),
        Error::Contended(_) => (Reply::Away("a race"), None),
        // What was written is to be asked for again.
        Error::OutcomeUnknown(_) | Error::LedgerBehind => (Reply::Unknown, None),
        error => (Reply::Odd(format!("{error:?}")), None),
    };
    (said, held.map(|held| held.session))
}

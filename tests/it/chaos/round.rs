//! One round: a testbed, clients, a fault, its end, and the judgement.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use synckairos::domain::position::Position;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::{self, Client, Kind, Phase, fields, got};
use super::faults::Fault;
use super::testbed::Testbed;
use super::watcher::Watcher;
use crate::harness::caller::{Client as Http, client as http};
use crate::harness::checker::{Rules, Verdict, judge};
use crate::harness::follow::By;
use crate::harness::history::{Answer, Final, Invocation, Recorder};
use crate::harness::rng::Rng;
use crate::harness::{blitz, countdown, stopwatch, with};

/// What is not right by then is wrong.
const AT_LAST: Duration = Duration::from_secs(30);

/// How much is played.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub seed: u64,
    /// How long the fault lasts, where it lasts.
    pub span: Duration,
    pub sessions: usize,
    pub timers: usize,
    /// Of those who only come back all at once.
    pub crowd: usize,
}

/// What a round came to.
pub struct Outcome {
    pub right: Option<Duration>,
    pub verdict: Verdict,
    /// Who did not come to an end, and what ended badly.
    pub faults: Vec<String>,
    /// Calls during the fault that were not done.
    pub not_done: usize,
    /// The longest that a client with a key waited for its answer.
    pub patience: Duration,
}

struct Round {
    recorder: Recorder,
    http: Http,
    doors: Arc<[std::net::SocketAddr]>,
    sessions: Vec<String>,
    phase: watch::Sender<Phase>,
    players: JoinSet<()>,
    watchers: JoinSet<()>,
    seen: Vec<(String, String, watch::Receiver<Option<Position>>)>,
}

pub async fn play(fault: &Fault, load: Load) -> Outcome {
    let mut testbed = Testbed::of(fault.deployed, fault.hosts).await;
    let mut round = Round::new(&testbed);
    let began_us = round.clock().await;
    round.recorder.with(|history| history.began_us = Some(began_us));
    round.begin(load).await;
    sleep(Duration::from_millis(700)).await;
    let struck_us = round.recorder.now_us();
    (fault.strike)(&mut testbed, load).await;
    let (healed, healed_us) = (Instant::now(), round.recorder.now_us());
    let mut faults = round.until_all_are_right().await;
    let right = faults.is_empty().then(|| healed.elapsed());
    faults.extend(round.end(&testbed).await);
    let history = round.recorder.history();
    if !faults.is_empty() {
        faults.push(format!("the logs are in {}", testbed.keep_logs(fault.name)));
    }
    faults.extend(testbed.end().await);
    let rules = Rules { may_lose: fault.may_lose, ..Rules::default() };
    let verdict = judge(&history, &rules);
    let meanwhile = history.calls.iter().filter(|call| (struck_us..healed_us).contains(&call.invoked_us));
    let not_done = meanwhile.filter(|call| matches!(call.answer, Answer::Unavailable(_) | Answer::Unknown)).count();
    Outcome { right, verdict, faults, not_done, patience: round.patience(struck_us) }
}

impl Round {
    fn new(testbed: &Testbed) -> Self {
        Self {
            recorder: Recorder::in_real_time(),
            http: http(),
            doors: testbed.doors().into(),
            sessions: Vec::new(),
            phase: watch::Sender::new(Phase::Play),
            players: JoinSet::new(),
            watchers: JoinSet::new(),
            seen: Vec::new(),
        }
    }

    /// Cluster time when the recording began, by the quickest of several answers.
    async fn clock(&self) -> i64 {
        let mut best = (i64::MAX, 0);
        for _ in 0..20 {
            let before = self.recorder.now_us();
            let told = got(&self.http, self.doors[0], "/v1/time").await.unwrap();
            let after = self.recorder.now_us();
            let told = told["timestamp"].as_str().and_then(synckairos::wire::instant::parse).unwrap();
            // It is cut off to the millisecond: half of one is nearer on the whole.
            let told_us = told.as_ms() * 1_000 + 500;
            best = best.min((after - before, told_us - i64::midpoint(before, after)));
        }
        best.1
    }

    async fn begin(&mut self, load: Load) {
        let mut rng = Rng::of(load.seed);
        for number in 0..load.sessions {
            let kind = [Kind::Blitz, Kind::Stopwatch][number % 2];
            let body = match kind {
                Kind::Blitz => long_blitz(),
                Kind::Stopwatch => stopwatch(),
            };
            let session = format!("{kind:?}-{number}").to_lowercase();
            self.create(&session, body).await;
            self.people(&session, kind, number, load.seed);
        }
        for number in 0..load.timers {
            let session = format!("timer-{number}");
            let ms = i64::try_from(900 * (number + 1)).unwrap() + rng.span_ms();
            self.create(&session, countdown(ms)).await;
            self.watch(&session, By::ALL[number % 3], number);
        }
    }

    async fn create(&mut self, session: &str, body: Value) {
        let created = Invocation { command: "create".to_owned(), ..Invocation::default() };
        let body = with(body, json!({"session_id": session}));
        for (asked, path, body) in [
            (created, "/v1/sessions".to_owned(), body),
            (
                Invocation { command: "start".to_owned(), ..Invocation::default() },
                format!("/v1/sessions/{session}/start"),
                json!({}),
            ),
        ] {
            let pending = self.recorder.ask("founder", 0, session, asked);
            let post = http::Method::POST;
            let answer =
                client::answered(&self.http, self.doors[0], post, &path, http::HeaderMap::new(), fields(body)).await;
            assert!(matches!(answer, Answer::Applied { .. }), "{path}: {answer:?}");
            pending.answered(answer);
        }
        self.sessions.push(session.to_owned());
    }

    /// Each transport and each door has somebody who plays, and somebody who watches.
    fn people(&mut self, session: &str, kind: Kind, number: usize, seed: u64) {
        for place in 0..4 {
            let by = By::ALL[place % 3];
            let (name, last, socket) = self.watch(session, by, number + place);
            let seed = seed.wrapping_mul(1_000).wrapping_add((number * 4 + place) as u64);
            let player = Client {
                name,
                session: session.to_owned(),
                kind,
                doors: Arc::clone(&self.doors),
                door: (number + place) % self.doors.len(),
                rng: Rng::of(seed),
                http: self.http.clone(),
                recorder: self.recorder.clone(),
                phase: self.phase.subscribe(),
                last,
                socket: (by == By::WebSocket).then_some(socket),
            };
            self.players.spawn(player.play());
        }
    }

    fn watch(&mut self, session: &str, by: By, door: usize) -> WatcherHandle {
        let name = format!("{session}/{}", self.seen.len());
        let (last, seen) = watch::channel(None);
        // Past it a command is not sent: one player has one under way.
        let (say, commands) = mpsc::channel(4);
        let watcher = Watcher {
            name: name.clone(),
            session: session.to_owned(),
            by,
            doors: Arc::clone(&self.doors),
            door: door % self.doors.len(),
            http: self.http.clone(),
            recorder: self.recorder.clone(),
            last,
            commands,
        };
        self.watchers.spawn(watcher.follow());
        self.seen.push((name.clone(), session.to_owned(), seen.clone()));
        (name, seen, say)
    }

    /// Everybody has been answered, and everybody sees the newest; else who does not.
    async fn until_all_are_right(&mut self) -> Vec<String> {
        self.phase.send_replace(Phase::Healed);
        let answered = timeout(AT_LAST, async { while self.players.join_next().await.is_some() {} });
        if answered.await.is_err() {
            return vec![format!("{} players have no answer", self.players.len())];
        }
        let mut wrong = Vec::new();
        let until = Instant::now() + AT_LAST;
        for session in &self.sessions {
            let Some(newest) = self.newest(session, until).await else {
                wrong.push(format!("{session} is not shown"));
                continue;
            };
            for (name, _, seen) in self.seen.iter_mut().filter(|(_, watched, _)| watched == session) {
                let sees = seen.wait_for(|last| *last >= Some(newest));
                if tokio::time::timeout_at(until, sees).await.is_err() {
                    wrong.push(format!("{name} does not see {newest}"));
                }
            }
        }
        wrong
    }

    async fn look(&self, session: &str) -> Option<Value> {
        got(&self.http, self.doors[0], &format!("/v1/sessions/{session}")).await
    }

    async fn newest(&self, session: &str, until: Instant) -> Option<Position> {
        while Instant::now() < until {
            if let Some(shown) = self.look(session).await {
                return Final::of(session, &shown, 0).map(|last| last.shown.position);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Until the ledger holds all, and timers are out; then what is left is written down.
    async fn end(&mut self, testbed: &Testbed) -> Vec<String> {
        let until = Instant::now() + AT_LAST;
        let mut wrong = Vec::new();
        for session in self.sessions.clone() {
            if !self.is_over(testbed, &session, until).await {
                wrong.push(format!("{session} does not come to rest, or not into the ledger"));
            }
        }
        // What was told last is seen by all.
        sleep(Duration::from_millis(300)).await;
        self.watchers.abort_all();
        for session in &self.sessions {
            let shown = self.look(session).await.unwrap_or_default();
            let last = Final::of(session, &shown, self.recorder.now_us());
            self.recorder.with(|history| history.finals.extend(last));
        }
        for (name, session, seen) in &self.seen {
            self.recorder.end(name, session, *seen.borrow());
        }
        let (rows, absences) = testbed.recorded(&self.sessions).await;
        self.recorder.with(|history| (history.rows, history.absences) = (rows, absences));
        wrong
    }

    async fn is_over(&self, testbed: &Testbed, session: &str, until: Instant) -> bool {
        while Instant::now() < until {
            if let Some(shown) = self.look(session).await
                && !(session.starts_with("timer") && shown["status"] == "running")
                && testbed.holds(session).await >= shown["version"].as_i64()
            {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The longest time from the first try with a key to its answer.
    fn patience(&self, since_us: i64) -> Duration {
        let history = self.recorder.history();
        let mut began = std::collections::HashMap::new();
        let mut longest = 0;
        for call in history.calls.iter().filter(|call| call.invoked_us >= since_us) {
            let Some(key) = &call.asked.key else { continue };
            let first = *began.entry(key).or_insert(call.invoked_us);
            if call.returned_us < i64::MAX {
                longest = longest.max(call.returned_us - first);
            }
        }
        Duration::from_micros(longest.unsigned_abs())
    }
}

type WatcherHandle = (String, watch::Receiver<Option<Position>>, mpsc::Sender<super::watcher::SocketCommand>);

/// Nobody's clock runs out in it.
fn long_blitz() -> Value {
    let participant = |id| json!({"participant_id": id, "total_time_ms": 3_600_000});
    with(blitz(), json!({"participants": [participant("white"), participant("black")]}))
}

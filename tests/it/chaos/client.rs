//! A client as they are: it commands and reads by HTTP, keeps a key for what it may have
//! to ask again, and goes to another door when one does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Map, Value, json};
use synckairos::domain::position::Position;
use tokio::sync::{mpsc, oneshot, watch};

use super::watcher::SocketCommand;
use crate::harness::caller::Client as Http;
use crate::harness::history::{Answer, Invocation, Recorder};
use crate::harness::process::Host;
use crate::harness::rng::Rng;

/// Nobody waits longer for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// What all do for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Any command, chosen at random.
    Play,
    /// The fault is over: on until one answer has come that is one, then no more.
    Healed,
}

pub struct Client {
    pub name: String,
    pub session: String,
    pub kind: Kind,
    pub doors: Arc<[SocketAddr]>,
    /// Where it knocks next.
    pub door: usize,
    pub rng: Rng,
    pub http: Http,
    pub recorder: Recorder,
    pub phase: watch::Receiver<Phase>,
    /// What its watcher saw last.
    pub last: watch::Receiver<Option<Position>>,
    /// Its watcher's socket, where it has one.
    pub socket: Option<mpsc::Sender<SocketCommand>>,
}

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Blitz,
    Stopwatch,
}

impl Client {
    /// Plays until the fault is over and it has been answered once since.
    pub async fn play(mut self) {
        for number in 0.. {
            let is_last = *self.phase.borrow() == Phase::Healed;
            let asked = self.choose(number);
            if self.insist(asked).await && is_last {
                return;
            }
            let nap = 10 + self.rng.below(60) as u64;
            tokio::time::sleep(Duration::from_millis(nap)).await;
        }
    }

    fn choose(&mut self, number: usize) -> Invocation {
        let (command, body) = self.command();
        let is_read = command == "look";
        let key = (!is_read && self.rng.chance(50)).then(|| format!("{}-{number}", self.name));
        let expected = if is_read || !self.rng.chance(25) { None } else { *self.last.borrow() };
        let Value::Object(body) = body else { unreachable!("bodies are objects") };
        Invocation { command: command.to_owned(), body, key, expected }
    }

    fn command(&mut self) -> (&'static str, Value) {
        let reason = *self.rng.one_of(&["rain", "phone"]);
        match (self.rng.below(100), self.kind) {
            (0..10, _) => ("look", json!({})),
            (10..20, _) => ("pause", json!({"reason": reason})),
            (20..35, _) => ("resume", json!({"reason": reason})),
            (35..40, _) => ("resume", json!({})),
            (40..50, Kind::Blitz) => ("adjust", json!({"participant_id": "white", "add_ms": self.rng.span_ms()})),
            (50..65, Kind::Blitz) => {
                ("switch", json!({"current_participant_id": self.rng.one_of(&["white", "black"])}))
            }
            _ => ("switch", json!({})),
        }
    }

    /// Asks, and again elsewhere where that is safe; gives whether there was an answer.
    async fn insist(&mut self, asked: Invocation) -> bool {
        let tries = if asked.key.is_some() { 30 } else { 1 };
        for attempt in 0..tries {
            match self.ask(&asked, attempt).await {
                Answer::Unknown | Answer::Unavailable(_) => self.door = (self.door + 1) % self.doors.len(),
                _ => return true,
            }
            let nap = 20 + self.rng.below(60) as u64;
            tokio::time::sleep(Duration::from_millis(nap)).await;
        }
        false
    }

    async fn ask(&mut self, asked: &Invocation, attempt: usize) -> Answer {
        let pending = self.recorder.ask(&self.name, self.door, &self.session, asked.clone());
        let by_socket = asked.command != "look" && asked.expected.is_none() && self.rng.chance(50);
        let answer = match self.socket.clone().filter(|_| by_socket) {
            Some(socket) => self.say(&socket, asked, attempt > 0).await,
            None => self.request(asked).await,
        };
        pending.answered(answer.clone());
        answer
    }

    async fn say(&self, socket: &mpsc::Sender<SocketCommand>, asked: &Invocation, is_repeat: bool) -> Answer {
        let mut frame = asked.body.clone();
        frame.extend(fields(json!({"type": "COMMAND", "command": asked.command, "idempotency_key": asked.key})));
        if asked.key.is_none() {
            frame.remove("idempotency_key");
        }
        let (answered, answer) = oneshot::channel();
        // Who has no connection at the moment does not send anything.
        if socket.try_send(SocketCommand { frame, answered }).is_err() {
            return Answer::Unknown;
        }
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(frame)) => Answer::of_frame(frame["type"].as_str().unwrap_or_default(), &frame["payload"], is_repeat),
            _ => Answer::Unknown,
        }
    }

    async fn request(&self, asked: &Invocation) -> Answer {
        let path = format!("/v1/sessions/{}", self.session);
        let address = self.doors[self.door];
        let (method, path) = match asked.command.as_str() {
            "look" => (Method::GET, path),
            command => (Method::POST, format!("{path}/{command}")),
        };
        let mut headers = HeaderMap::new();
        if let Some(key) = &asked.key {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        if let Some(expected) = asked.expected {
            headers.insert("if-match", format!("W/\"{expected}\"").parse().unwrap());
        }
        answered(&self.http, address, method, &path, headers, asked.body.clone()).await
    }
}

/// A request and what came of it.
pub async fn answered(
    http: &Http,
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Map<String, Value>,
) -> Answer {
    let asking = async {
        let (status, is_replay, body) = exchange(http, address, method, path, headers, body).await?;
        Some(Answer::of(status, &body, is_replay))
    };
    tokio::time::timeout(REQUEST_TIMEOUT, asking).await.ok().flatten().unwrap_or(Answer::Unknown)
}

async fn exchange(
    http: &Http,
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Map<String, Value>,
) -> Option<(u16, bool, Value)> {
    let body = if body.is_empty() { Bytes::new() } else { serde_json::to_vec(&body).ok()?.into() };
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    *request.headers_mut()? = headers;
    let request = request.header("authorization", Host::authorization()).header("content-type", "application/json");
    let answer = http.request(request.body(Full::new(body)).ok()?).await.ok()?;
    let is_replay = answer.headers().contains_key("idempotent-replayed");
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.ok()?.to_bytes();
    Some((status, is_replay, serde_json::from_slice(&bytes).unwrap_or_default()))
}

/// What a `GET` gives, if it is answered well.
pub async fn got(http: &Http, address: SocketAddr, path: &str) -> Option<Value> {
    let asking = exchange(http, address, Method::GET, path, HeaderMap::new(), Map::new());
    let (status, _, body) = tokio::time::timeout(REQUEST_TIMEOUT, asking).await.ok()??;
    (status == 200).then_some(body)
}

pub fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("fields of an object") };
    fields
}

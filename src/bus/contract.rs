//! The promise of the bus, sentence by sentence, against every backend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::interfaces::PubsubInterface as _;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::memory::{MemoryBus, MemoryHub};
use super::redis::RedisBus;
use super::{Bus, BusEvent, Message};
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::redis::{Address, Redis};
use crate::redis_server::{Keeps, Server, Trio};
use crate::store::keys;
use crate::store::keys::Keys;

/// Nothing takes longer.
const SOON: Duration = Duration::from_secs(10);

/// A backend, and whoever announces on it.
#[async_trait]
trait Bench: Send + Sync {
    fn bus(&self) -> &dyn Bus;
    async fn announce(&self, message: &Message);
    /// Cuts the ear off, if it can be.
    fn cut(&self) -> bool;
}

struct Memory {
    hub: MemoryHub,
    bus: MemoryBus,
}

impl Memory {
    fn new() -> Self {
        let hub = MemoryHub::default();
        Self { bus: hub.attach(), hub }
    }
}

#[async_trait]
impl Bench for Memory {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    async fn announce(&self, message: &Message) {
        self.hub.announce(message);
    }

    fn cut(&self) -> bool {
        false
    }
}

/// A bus over Redis, and the servers behind it.
struct InRedis<H> {
    bus: Arc<RedisBus>,
    redis: Redis,
    hearing: JoinHandle<()>,
    home: H,
}

impl<H> InRedis<H> {
    async fn at(url: &str, home: H) -> Self {
        let redis = Redis::connect(&Address::new(url, None).unwrap()).await.unwrap();
        let bus = Arc::new(RedisBus::new(redis.duplicate().await.unwrap(), Keys::default()));
        let ear = Arc::clone(&bus);
        let hearing = tokio::spawn(async move { ear.run().await });
        Self { bus, redis, hearing, home }
    }

    async fn say(&self, message: &Message) {
        let commands = self.redis.commands().await.unwrap();
        let channel = Keys::default().frames(&message.key);
        let announcement = keys::announcement(&message.position.to_string(), &message.frames).concat();
        if self.redis.is_cluster() {
            commands.spublish::<i64, _, _>(channel, announcement).await.unwrap();
        } else {
            commands.publish::<i64, _, _>(channel, announcement).await.unwrap();
        }
    }
}

impl<H> Drop for InRedis<H> {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

#[async_trait]
impl Bench for InRedis<Server> {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    async fn announce(&self, message: &Message) {
        self.say(message).await;
    }

    fn cut(&self) -> bool {
        self.home.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        true
    }
}

#[async_trait]
impl Bench for InRedis<Trio> {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    async fn announce(&self, message: &Message) {
        self.say(message).await;
    }

    fn cut(&self) -> bool {
        self.home.0.iter().for_each(|node| drop(node.say(&["CLIENT", "KILL", "TYPE", "pubsub"])));
        true
    }
}

async fn plain() -> InRedis<Server> {
    let server = Server::start(Keeps::Nothing);
    Box::pin(InRedis::at(&server.url(), server)).await
}

async fn cluster() -> InRedis<Trio> {
    let trio = Trio::start();
    Box::pin(InRedis::at(&trio.url(), trio)).await
}

macro_rules! contract {
    ($($sentence:ident,)*) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$sentence(&super::Memory::new()).await;
                }
            )*
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$sentence(&super::plain().await).await;
                }
            )*
        }
        mod redis_cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$sentence(&super::cluster().await).await;
                }
            )*
        }
    };
}

contract! {
    a_subscribed_session_arrives_whole_and_in_order,
    a_message_right_after_subscribing_arrives,
    an_unsubscribed_session_does_not_arrive,
    an_overrun_receiver_gets_a_gap_and_later_messages,
    a_cut_connection_yields_a_gap_and_later_messages,
    the_receiver_is_taken_once,
}

fn message(session: &str, version: u64) -> Message {
    let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() };
    let frames = Bytes::from(format!("first frame of {session}\nsecond of {version}"));
    Message { key, position: Position { epoch: 7, version }, frames }
}

async fn next(ear: &mut Receiver<BusEvent>) -> BusEvent {
    timeout(SOON, ear.recv()).await.expect("nothing is heard").expect("the ear is open")
}

/// The next message, whatever gaps are told before it.
async fn next_message(ear: &mut Receiver<BusEvent>) -> Message {
    loop {
        if let BusEvent::Message(message) = next(ear).await {
            return message;
        }
    }
}

async fn a_subscribed_session_arrives_whole_and_in_order(bench: &impl Bench) {
    let mut ear = bench.bus().events().unwrap();
    let sessions = ["a", "b", "c"];
    for session in sessions {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    for version in 1..=200 {
        for session in sessions {
            bench.announce(&message(session, version)).await;
        }
    }
    let mut heard = vec![Vec::new(); sessions.len()];
    for _ in 0..600 {
        let told = next_message(&mut ear).await;
        let number = sessions.iter().position(|session| told.key.session.as_str() == *session).unwrap();
        heard[number].push(told);
    }
    for (session, heard) in sessions.iter().zip(heard) {
        assert_eq!(heard, (1..=200).map(|version| message(session, version)).collect::<Vec<_>>());
    }
}

async fn a_message_right_after_subscribing_arrives(bench: &impl Bench) {
    let mut ear = bench.bus().events().unwrap();
    for number in 0..500 {
        let message = message(&format!("s{number}"), 1);
        bench.bus().subscribe(&message.key).await.unwrap();
        bench.announce(&message).await;
        assert_eq!(next_message(&mut ear).await, message);
    }
}

async fn an_unsubscribed_session_does_not_arrive(bench: &impl Bench) {
    let mut ear = bench.bus().events().unwrap();
    for session in ["a", "b", "end"] {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    bench.bus().unsubscribe(&message("b", 1).key).await;
    // Where a connection is new, all that is wanted may just be asked for once more, and what
    // is not wanted any more is given up right after.
    for _ in 0..20 {
        for session in ["a", "b", "c"] {
            bench.announce(&message(session, 1)).await;
        }
        // In a cluster each node tells for itself; this is the last of all it could tell.
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.announce(&message("end", 1)).await;
        let mut heard = BTreeSet::new();
        while heard.insert(next_message(&mut ear).await.key.session.to_string()) && !heard.contains("end") {}
        assert!(heard.contains("a") && !heard.contains("c"), "{heard:?}");
        if !heard.contains("b") {
            return;
        }
    }
    panic!("what is ignored is heard all the time");
}

async fn an_overrun_receiver_gets_a_gap_and_later_messages(bench: &impl Bench) {
    const MANY: u64 = 20_000;
    let mut ear = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    for version in 1..=MANY {
        bench.announce(&message("a", version)).await;
    }
    let (mut last, mut is_missed) = (0, false);
    let mut later = MANY;
    while last < later {
        match next(&mut ear).await {
            BusEvent::Gap => is_missed = true,
            BusEvent::Message(message) => {
                assert!(message.position.version == last + 1 || is_missed, "{last}, then {}", message.position);
                last = message.position.version;
            }
        }
        // What was dropped is told with the first that finds room again.
        if ear.is_empty() && last < later {
            later += 1;
            bench.announce(&message("a", later)).await;
        }
    }
    assert!(is_missed, "it was not overrun");
}

async fn a_cut_connection_yields_a_gap_and_later_messages(bench: &impl Bench) {
    let mut ear = bench.bus().events().unwrap();
    let sessions: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    for session in &sessions {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    bench.announce(&message("s0", 1)).await;
    assert_eq!(next_message(&mut ear).await, message("s0", 1));
    if !bench.cut() {
        return;
    }
    // Whoever reads after the last gap misses nothing that is told later.
    assert_eq!(next(&mut ear).await, BusEvent::Gap);
    while let Ok(Some(told)) = timeout(Duration::from_millis(300), ear.recv()).await {
        assert_eq!(told, BusEvent::Gap);
    }
    let mut missing: BTreeSet<&str> = sessions.iter().map(String::as_str).collect();
    for session in &sessions {
        bench.announce(&message(session, 2)).await;
    }
    while !missing.is_empty() {
        let BusEvent::Message(message) = next(&mut ear).await else { panic!("nothing was cut again") };
        assert!(missing.remove(message.key.session.as_str()));
    }
}

async fn the_receiver_is_taken_once(bench: &impl Bench) {
    assert!(bench.bus().events().is_some());
    assert!(bench.bus().events().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_restores_every_subscription() {
    let mut bench = plain().await;
    let mut ear = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    bench.home.kill();
    // Who asks now is told that nobody can hear, and is heard of later all the same.
    assert!(bench.bus().subscribe(&message("b", 1).key).await.is_err());
    bench.home.start_again();
    while bench.redis.ping().await.is_err() {}
    while next(&mut ear).await != BusEvent::Gap {}
    let everything = async {
        let mut heard = BTreeSet::new();
        while heard.len() < 2 {
            for session in ["a", "b"] {
                bench.announce(&message(session, 2)).await;
            }
            while let Ok(Some(told)) = timeout(Duration::from_millis(50), ear.recv()).await {
                if let BusEvent::Message(message) = told {
                    heard.insert(message.key);
                }
            }
        }
    };
    timeout(SOON, everything).await.expect("somebody stays deaf");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_redis_is_abandoned_and_found_again() {
    let bench = plain().await;
    let mut ear = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    bench.announce(&message("a", 1)).await;
    assert_eq!(next_message(&mut ear).await, message("a", 1));
    bench.home.freeze();
    assert!(timeout(Duration::from_secs(4), bench.bus().subscribe(&message("b", 1).key)).await.unwrap().is_err());
    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.home.thaw();
    assert_eq!(next(&mut ear).await, BusEvent::Gap);
    while bench.redis.ping().await.is_err() {}
    bench.bus().subscribe(&message("b", 1).key).await.unwrap();
    bench.announce(&message("b", 2)).await;
    assert_eq!(next_message(&mut ear).await, message("b", 2));
}

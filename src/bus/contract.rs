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
use crate::redis::{Redis, RedisUrl};
use crate::store::keys;
use crate::store::keys::Keys;
use testkit::redis::{Keeps, Server, Trio};

const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A backend, and a writer that announces on it.
#[async_trait]
trait Bench: Send + Sync {
    fn bus(&self) -> &dyn Bus;
    async fn announce(&self, message: &Message);
    /// Cuts the receiver's connection, if it has one.
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
    receiving: JoinHandle<()>,
    servers: H,
}

impl<H> InRedis<H> {
    async fn at(url: &str, servers: H) -> Self {
        let redis = Redis::connect(&RedisUrl::new(url, None).unwrap()).await.unwrap();
        let bus = Arc::new(RedisBus::new(redis.duplicate().await.unwrap(), Keys::default()));
        let running = Arc::clone(&bus);
        let receiving = tokio::spawn(async move { running.run().await });
        Self { bus, redis, receiving, servers }
    }

    async fn publish(&self, message: &Message) {
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
        self.receiving.abort();
    }
}

#[async_trait]
impl Bench for InRedis<Server> {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    async fn announce(&self, message: &Message) {
        self.publish(message).await;
    }

    fn cut(&self) -> bool {
        self.servers.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        true
    }
}

#[async_trait]
impl Bench for InRedis<Trio> {
    fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    async fn announce(&self, message: &Message) {
        self.publish(message).await;
    }

    fn cut(&self) -> bool {
        self.servers.0.iter().for_each(|node| drop(node.say(&["CLIENT", "KILL", "TYPE", "pubsub"])));
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

async fn next(events: &mut Receiver<BusEvent>) -> BusEvent {
    timeout(EVENT_TIMEOUT, events.recv()).await.expect("an event arrives").expect("the bus is open")
}

/// The next message, after any gaps.
async fn next_message(events: &mut Receiver<BusEvent>) -> Message {
    loop {
        if let BusEvent::Message(message) = next(events).await {
            return message;
        }
    }
}

async fn a_subscribed_session_arrives_whole_and_in_order(bench: &impl Bench) {
    let mut events = bench.bus().events().unwrap();
    let sessions = ["a", "b", "c"];
    for session in sessions {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    for version in 1..=200 {
        for session in sessions {
            bench.announce(&message(session, version)).await;
        }
    }
    let mut received = vec![Vec::new(); sessions.len()];
    for _ in 0..600 {
        let message = next_message(&mut events).await;
        let number = sessions.iter().position(|session| message.key.session.as_str() == *session).unwrap();
        received[number].push(message);
    }
    for (session, received) in sessions.iter().zip(received) {
        assert_eq!(received, (1..=200).map(|version| message(session, version)).collect::<Vec<_>>());
    }
}

async fn a_message_right_after_subscribing_arrives(bench: &impl Bench) {
    let mut events = bench.bus().events().unwrap();
    for number in 0..500 {
        let message = message(&format!("s{number}"), 1);
        bench.bus().subscribe(&message.key).await.unwrap();
        bench.announce(&message).await;
        assert_eq!(next_message(&mut events).await, message);
    }
}

async fn an_unsubscribed_session_does_not_arrive(bench: &impl Bench) {
    let mut events = bench.bus().events().unwrap();
    for session in ["a", "b", "end"] {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    bench.bus().unsubscribe(&message("b", 1).key).await;
    // A new connection may subscribe to every session once more, and then unsubscribes from
    // those that are not wanted any more.
    for _ in 0..20 {
        for session in ["a", "b", "c"] {
            bench.announce(&message(session, 1)).await;
        }
        // In a cluster each node sends by itself; this message is the last of all.
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.announce(&message("end", 1)).await;
        let mut received = BTreeSet::new();
        while received.insert(next_message(&mut events).await.key.session.to_string()) && !received.contains("end") {}
        assert!(received.contains("a") && !received.contains("c"), "{received:?}");
        if !received.contains("b") {
            return;
        }
    }
    panic!("the unsubscribed session still arrives");
}

async fn an_overrun_receiver_gets_a_gap_and_later_messages(bench: &impl Bench) {
    const MANY: u64 = 20_000;
    let mut events = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    for version in 1..=MANY {
        bench.announce(&message("a", version)).await;
    }
    let (mut last, mut is_missed) = (0, false);
    let mut later = MANY;
    while last < later {
        match next(&mut events).await {
            BusEvent::Gap => is_missed = true,
            BusEvent::Message(message) => {
                assert!(message.position.version == last + 1 || is_missed, "{last}, then {}", message.position);
                last = message.position.version;
            }
        }
        // The gap comes with the first message that finds room again.
        if events.is_empty() && last < later {
            later += 1;
            bench.announce(&message("a", later)).await;
        }
    }
    assert!(is_missed, "it was not overrun");
}

async fn a_cut_connection_yields_a_gap_and_later_messages(bench: &impl Bench) {
    let mut events = bench.bus().events().unwrap();
    let sessions: Vec<String> = (0..300).map(|number| format!("s{number}")).collect();
    for session in &sessions {
        bench.bus().subscribe(&message(session, 1).key).await.unwrap();
    }
    bench.announce(&message("s0", 1)).await;
    assert_eq!(next_message(&mut events).await, message("s0", 1));
    if !bench.cut() {
        return;
    }
    // After the last gap no message is missed.
    assert_eq!(next(&mut events).await, BusEvent::Gap);
    while let Ok(Some(event)) = timeout(Duration::from_millis(300), events.recv()).await {
        assert_eq!(event, BusEvent::Gap);
    }
    let mut missing: BTreeSet<&str> = sessions.iter().map(String::as_str).collect();
    for session in &sessions {
        bench.announce(&message(session, 2)).await;
    }
    while !missing.is_empty() {
        let BusEvent::Message(message) = next(&mut events).await else { panic!("nothing was cut again") };
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
    let mut events = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    bench.servers.kill();
    // A subscription fails now, and takes effect later all the same.
    assert!(bench.bus().subscribe(&message("b", 1).key).await.is_err());
    bench.servers.start_again();
    while bench.redis.ping().await.is_err() {}
    while next(&mut events).await != BusEvent::Gap {}
    let everything = async {
        let mut received = BTreeSet::new();
        while received.len() < 2 {
            for session in ["a", "b"] {
                bench.announce(&message(session, 2)).await;
            }
            while let Ok(Some(event)) = timeout(Duration::from_millis(50), events.recv()).await {
                if let BusEvent::Message(message) = event {
                    received.insert(message.key);
                }
            }
        }
    };
    timeout(EVENT_TIMEOUT, everything).await.expect("both sessions arrive");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_redis_is_abandoned_and_found_again() {
    let bench = plain().await;
    let mut events = bench.bus().events().unwrap();
    bench.bus().subscribe(&message("a", 1).key).await.unwrap();
    bench.announce(&message("a", 1)).await;
    assert_eq!(next_message(&mut events).await, message("a", 1));
    bench.servers.freeze();
    assert!(timeout(Duration::from_secs(4), bench.bus().subscribe(&message("b", 1).key)).await.unwrap().is_err());
    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.servers.thaw();
    assert_eq!(next(&mut events).await, BusEvent::Gap);
    while bench.redis.ping().await.is_err() {}
    bench.bus().subscribe(&message("b", 1).key).await.unwrap();
    bench.announce(&message("b", 2)).await;
    assert_eq!(next_message(&mut events).await, message("b", 2));
}

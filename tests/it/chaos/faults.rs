//! What may happen, and how it is brought about. Each begins and ends within its call.

use std::fs;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::time::Duration;

use testkit::proxy::Mode;
use tokio::time::{Instant, sleep};

use super::neighbours::neighbours;
use super::redis_faults::{cluster_failover, cluster_migration, commands, memory_full, sentinel_failover};
use super::round::Load;
use super::storm::storm;
use super::testbed::{Deployed, Testbed};
use crate::harness::eventually;
use crate::harness::process::Host;

type Striking<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

pub struct Fault {
    pub name: &'static str,
    /// What users see, in a few words.
    pub seen: &'static str,
    pub deployed: Deployed,
    /// What that Redis keeps does not cover it: what is lost is told.
    pub may_lose: bool,
    pub hosts: fn(usize, Host) -> Host,
    pub strike: for<'a> fn(&'a mut Testbed, Load) -> Striking<'a>,
}

macro_rules! faults {
    ($($name:literal $seen:literal $deployed:ident $loses:literal $hosts:ident $strike:expr;)*) => {
        pub const FAULTS: &[Fault] = &[$(Fault {
            name: $name,
            seen: $seen,
            deployed: Deployed::$deployed,
            may_lose: $loses,
            hosts: $hosts,
            strike: |testbed, load| Box::pin($strike(testbed, load)),
        },)*];
    };
}

faults! {
    "kill" "an instance is killed with SIGKILL and started again: its clients go elsewhere" Appending false plain kill;
    "stop" "an instance is held still and let go: its clients go elsewhere after a silence" Appending false plain stop;
    "rolling" "all instances are restarted in turn: streams close with 1012 and come back" Appending false plain rolling;
    "signals" "instances get signals that ask for nothing, and end with their terminal: the same" Appending false plain signals;
    "redis-killed" "Redis is killed and started from its file: 503 meanwhile, then a new epoch" Appending false plain redis_killed;
    "redis-emptied" "Redis is killed and had nothing on disk: 503 meanwhile, then a new epoch" Forgetful true plain redis_killed;
    "redis-cut" "no instance reaches Redis: 503, streams stay up and say so" Appending false plain redis_cut;
    "redis-slow" "Redis answers late: commands are slow" Appending false plain redis_slow;
    "redis-deaf" "Redis hears nothing, connections stay: 503 at once after the first" Appending false plain redis_deaf;
    "redis-mute" "Redis is not heard, connections stay: outcomes unknown, then 503" Appending false plain redis_mute;
    "pubsub-killed" "connections that listen are killed again and again: a frame may come late" Appending false plain pubsub_killed;
    "scripts-flushed" "Redis forgets its scripts again and again: nothing" Appending false plain scripts_flushed;
    "flushall" "Redis is emptied: sessions come back from the ledger in a new epoch" Forgetful true plain flushall;
    "memory-full" "Redis takes no more writes: 503, reads go on" Appending false plain memory_full;
    "postgres-stopped" "PostgreSQL is away: nothing, but for reads of the past" Appending false plain postgres_stopped;
    "postgres-late" "all instances are restarted in turn while PostgreSQL is away: the same" Appending false plain postgres_late;
    "postgres-cut" "no instance reaches PostgreSQL: the same" Appending false plain postgres_cut;
    "postgres-slow" "PostgreSQL answers late: the past is slow" Appending false plain postgres_slow;
    "postgres-mute" "PostgreSQL is not heard: the past is not told" Appending false plain postgres_mute;
    "dead-letters" "PostgreSQL refuses everything for good, then takes it: the past is late" Appending false forgetting dead_letters;
    "neighbours" "other deployments use the same Redis and PostgreSQL: nothing" Appending false plain neighbours;
    "disk-full" "the disk of PostgreSQL is full: nothing, the audit waits" Cramped false plain disk_full;
    "clocks-apart" "hosts whose clocks are five minutes off: nothing" Appending false apart calm;
    "clocks-step" "hosts whose clocks jump by minutes while they serve: nothing" Appending false stepping clocks_step;
    "cluster-migration" "slots of a Redis Cluster move: a command may take longer" Cluster false plain cluster_migration;
    "cluster-failover" "a master of a Redis Cluster dies, its replica takes over: 503 until then" Cluster true plain cluster_failover;
    "sentinel-failover" "a master dies, a replica that lags takes over: 503 until then, a new epoch" Sentinel true plain sentinel_failover;
    "storm" "all clients are cut off at once and come back at once" Appending false plain storm;
    "mixed" "several of these, one after the other" Appending false plain mixed;
}

fn plain(_: usize, host: Host) -> Host {
    host
}

/// What is idle is let go of at once.
fn forgetting(_: usize, host: Host) -> Host {
    host.with("SESSION_IDLE_TTL_MS", "1000")
}

fn faketime(host: Host) -> Host {
    let folders = fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let library = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|file| file.exists());
    let library = library.expect("libfaketime is not installed, and these tests need it");
    host.with("LD_PRELOAD", library.to_str().unwrap()).with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

fn apart(number: usize, host: Host) -> Host {
    faketime(host).with("FAKETIME", ["-5m", "+0", "+5m"][number])
}

fn stepping(_: usize, host: Host) -> Host {
    let file = clock_file(&host);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "+0").unwrap();
    let host = faketime(host).with("FAKETIME_NO_CACHE", "1");
    host.with("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
}

fn clock_file(host: &Host) -> std::path::PathBuf {
    host.data().with_file_name("faketime")
}

async fn calm(_: &mut Testbed, load: Load) {
    sleep(load.span).await;
}

async fn clocks_step(testbed: &mut Testbed, load: Load) {
    let until = Instant::now() + load.span;
    for step in ["+5m", "-5m", "+90s", "+0"].iter().cycle() {
        for host in &testbed.hosts {
            fs::write(clock_file(host), step).unwrap();
            sleep(load.span / 16).await;
        }
        if Instant::now() > until {
            return;
        }
    }
}

async fn kill(testbed: &mut Testbed, load: Load) {
    testbed.processes[1].take().unwrap().kill();
    sleep(load.span / 2).await;
    testbed.processes[1] = Some(testbed.hosts[1].serve().await);
}

async fn stop(testbed: &mut Testbed, load: Load) {
    testbed.process(0).send("STOP");
    sleep(load.span).await;
    testbed.process(0).send("CONT");
}

async fn rolling(testbed: &mut Testbed, _: Load) {
    restarted_by(testbed, "TERM").await;
}

async fn restarted_by(testbed: &mut Testbed, signal: &str) {
    for number in 0..3 {
        let process = testbed.processes[number].take().unwrap();
        process.send(signal);
        let (ended, log) = process.ended().await;
        assert!(ended.success(), "{ended}: {log}");
        testbed.processes[number] = Some(testbed.hosts[number].serve().await);
    }
}

async fn signals(testbed: &mut Testbed, _: Load) {
    for signal in ["USR1", "USR2", "ALRM", "PROF", "PIPE"] {
        (0..3).for_each(|number| testbed.process(number).send(signal));
    }
    restarted_by(testbed, "HUP").await;
}

async fn redis_killed(testbed: &mut Testbed, load: Load) {
    testbed.server().kill();
    sleep(load.span / 4).await;
    testbed.server().start_again();
}

async fn set_redis_proxy(testbed: &Testbed, load: Load, mode: Mode) {
    testbed.redis_door().set(mode);
    sleep(load.span).await;
    testbed.redis_door().set(Mode::Open);
}

async fn redis_cut(testbed: &mut Testbed, load: Load) {
    set_redis_proxy(testbed, load, Mode::Cut).await;
}

async fn redis_slow(testbed: &mut Testbed, load: Load) {
    set_redis_proxy(testbed, load, Mode::Slow(Duration::from_millis(100))).await;
}

async fn redis_deaf(testbed: &mut Testbed, load: Load) {
    set_redis_proxy(testbed, load, Mode::DropRequests).await;
}

async fn redis_mute(testbed: &mut Testbed, load: Load) {
    set_redis_proxy(testbed, load, Mode::DropReplies).await;
}

async fn pubsub_killed(testbed: &mut Testbed, load: Load) {
    commands(testbed, load, Duration::from_millis(200), &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
}

async fn scripts_flushed(testbed: &mut Testbed, load: Load) {
    commands(testbed, load, Duration::from_millis(40), &["SCRIPT", "FLUSH"]).await;
}

fn flushall(testbed: &mut Testbed, _: Load) -> Ready<()> {
    testbed.server().say(&["FLUSHALL"]);
    ready(())
}

async fn postgres_stopped(testbed: &mut Testbed, load: Load) {
    testbed.postgres.stop();
    sleep(load.span).await;
    testbed.postgres.start().await;
}

async fn postgres_late(testbed: &mut Testbed, load: Load) {
    testbed.postgres.stop();
    restarted_by(testbed, "TERM").await;
    sleep(load.span / 4).await;
    testbed.postgres.start().await;
}

async fn set_postgres_proxy(testbed: &Testbed, load: Load, mode: Mode) {
    testbed.postgres_door.set(mode);
    sleep(load.span).await;
    testbed.postgres_door.set(Mode::Open);
}

async fn postgres_cut(testbed: &mut Testbed, load: Load) {
    set_postgres_proxy(testbed, load, Mode::Cut).await;
}

async fn postgres_slow(testbed: &mut Testbed, load: Load) {
    set_postgres_proxy(testbed, load, Mode::Slow(Duration::from_millis(100))).await;
}

async fn postgres_mute(testbed: &mut Testbed, load: Load) {
    set_postgres_proxy(testbed, load, Mode::DropReplies).await;
}

/// Timers run out meanwhile, and are idle for longer than the store keeps anything.
async fn dead_letters(testbed: &mut Testbed, load: Load) {
    testbed.in_ledger("alter table session add constraint session_refused check (version < 0) not valid").await;
    sleep(load.span).await;
    testbed.in_ledger("alter table session drop constraint session_refused").await;
    eventually("no dead letters", async || {
        let retried = testbed.hosts[0].run(&["audit", "dead", "retry", "--all"]).await;
        assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
        String::from_utf8_lossy(&retried.stdout).contains("no dead letters").then_some(())
    })
    .await;
}

async fn disk_full(testbed: &mut Testbed, load: Load) {
    let until = Instant::now() + load.span;
    while Instant::now() < until {
        // What it throws away to help itself is filled too.
        testbed.postgres.fill_disk();
        sleep(load.span / 16).await;
    }
    let log = testbed.postgres.log();
    assert!(log.contains("No space left on device"), "{log}");
    testbed.postgres.free_disk().await;
}

async fn mixed(testbed: &mut Testbed, load: Load) {
    let mut rng = crate::harness::rng::Rng::of(load.seed);
    let short = Load { span: load.span.min(Duration::from_secs(2)), ..load };
    let until = Instant::now() + load.span;
    while Instant::now() < until {
        let names = [
            "kill",
            "stop",
            "redis-cut",
            "redis-slow",
            "redis-mute",
            "pubsub-killed",
            "scripts-flushed",
            "postgres-cut",
        ];
        let name = *rng.one_of(&names);
        let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap();
        println!("  {name}");
        (fault.strike)(testbed, short).await;
        sleep(Duration::from_millis(300)).await;
    }
    testbed.redis_door().disconnect_all();
    println!("  {} connections to Redis came about", testbed.redis_door().accepted());
}

//! Several processes of the real binary over one Redis and one PostgreSQL: hosts whose
//! clocks are minutes apart, processes that are killed, stopped in turn, or only drain.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::process::Process;
use testkit::redis::{Keeps, Server};
use tokio::time::Instant;

use crate::harness::backends::Backends;
use crate::harness::process::Host;
use crate::harness::watch::{Transport, Watching};
use crate::harness::{Caller, Session, blitz, countdown, eventually, stopwatch, with};

/// Fresh backends, and processes on them.
struct House {
    backends: Backends,
    hosts: Vec<Host>,
    processes: Vec<Option<Process>>,
}

impl House {
    async fn of(keeps: Keeps, hosts: impl IntoIterator<Item = Host>) -> Self {
        let backends = Backends::shared(keeps).await;
        let hosts: Vec<_> = hosts.into_iter().map(|host| backends.lead(host)).collect();
        let processes = join_all(hosts.iter().map(Host::serve)).await.into_iter().map(Some).collect();
        let house = Self { backends, hosts, processes };
        house.until_members(house.hosts.len()).await;
        house
    }

    /// An instance knows its share of the partitions only once it knows all members.
    async fn until_members(&self, members: usize) {
        let line = format!("synckairos_members {members}");
        for (host, _) in self.hosts.iter().zip(&self.processes).filter(|(_, process)| process.is_some()) {
            eventually("all are seen", async || host.scrape().await.contains(&line).then_some(())).await;
        }
    }

    fn caller(&self, host: usize) -> Caller {
        self.hosts[host].caller()
    }
}

fn hosts(count: usize) -> impl Iterator<Item = Host> {
    (0..count).map(|_| Host::new())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where Debian puts the library that makes a process believe in another time.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let library = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|file| file.exists());
    library.expect("libfaketime is not installed, and this test needs it").to_str().unwrap().to_owned()
}

/// What `/v1/time` says, in microseconds.
async fn now_us(caller: &Caller) -> i64 {
    let body = caller.get("/v1/time").await.expect(200).body;
    let (whole, rest) =
        body["timestamp_ms"].to_string().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
    format!("{whole}{rest:0<3}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_with_wrong_clocks_charge_exactly_the_elapsed_time() {
    let library = faketime();
    let skewed = ["-5m", "+0", "+5m"].map(|offset| {
        let host = Host::new().with("LD_PRELOAD", &library).with("FAKETIME", offset);
        host.with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    });
    let house = House::of(Keeps::Nothing, skewed).await;
    let callers = [0, 1, 2].map(|host| house.caller(host));
    // What one says lies between what the next says before and after.
    let mut apart = Vec::new();
    for _ in 0..50 {
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let [one, another] = pair.map(|at| &callers[at]);
            let (before, other, after) = (now_us(one).await, now_us(another).await, now_us(one).await);
            apart.push((before - other).max(other - after).max(0));
        }
    }
    apart.sort_unstable();
    println!("apart by {} us at p99 beyond what asking takes", apart[apart.len() * 99 / 100]);
    assert!(apart[apart.len() * 99 / 100] < 1_000, "{apart:?}");

    let session = callers[0].running(with(blitz(), json!({"increment_ms": 0}))).await;
    let began = instant_ms(&callers[0].snapshot(&session).await["started_at"]);
    let counted = Instant::now();
    for turn in 0..60 {
        callers[turn % 3].command(&session, "switch").await;
    }
    let end = callers[1].command(&session, "pause").await.body;
    let counted = i64::try_from(counted.elapsed().as_millis()).unwrap();
    let (charged, elapsed) = (used_ms(&end), instant_ms(&end["updated_at"]) - began);
    println!("charged {charged} of {elapsed} ms, within which this process counted {counted}");
    assert!((charged - elapsed).abs() <= 2 && elapsed >= counted - 2, "charged {charged} of {elapsed} ms, {counted}");
    for (host, process) in house.hosts.iter().zip(house.processes) {
        host.caller().get("/ready").await.expect(200);
        assert!(process.unwrap().terminate().await.success());
    }
}

fn instant_ms(value: &Value) -> i64 {
    synckairos::wire::instant::parse(value.as_str().unwrap()).unwrap().as_ms()
}

fn used_ms(snapshot: &Value) -> i64 {
    let each = snapshot["participants"].as_array().unwrap();
    each.iter().map(|participant| participant["time_used_ms"].as_i64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_of_a_killed_process_fire_on_another_in_time() {
    let mut house = House::of(Keeps::Nothing, hosts(3)).await;
    let caller = house.caller(1);
    let mut timers = Vec::new();
    for number in 0..40 {
        let id = json!({"session_id": format!("t-{number}")});
        timers.push(caller.running(with(countdown(3_000), id)).await);
    }
    let following = timers.iter().map(|timer| Watching::of(house.caller(2), timer).over(Transport::WebSocket));
    let mut watchers = join_all(following).await;
    // It owned about a third of them, and never says goodbye.
    house.processes[0].take().unwrap().kill();
    let told = watchers.iter_mut().map(async |watcher| {
        let expired = watcher.until("TIME_EXPIRED").await;
        now_us(&house.caller(2)).await / 1_000 - instant_ms(&expired["payload"]["expired_at"])
    });
    let mut late = join_all(told).await;
    late.sort_unstable();
    println!("told {} ms late in the middle, {} at most", late[late.len() / 2], late[late.len() - 1]);
    assert!(late[late.len() - 1] < 1_500, "{late:?}");
    for timer in &timers {
        assert_eq!(caller.snapshot(timer).await["version"], 3);
    }
}

/// Switches on any instance that answers, until told to stop; gives how many were acknowledged.
async fn switching(callers: [Caller; 2], session: &Session, key: &str, stop: &AtomicBool) -> u64 {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{key}-{done}");
        // One that is being restarted does not answer; the same key makes asking again safe.
        for caller in callers.iter().cycle() {
            if let Some(status) = caller.try_command(session, "switch", &key).await {
                assert!([200, 503].contains(&status), "{status}");
                if status == 200 {
                    break;
                }
            }
        }
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing() {
    let mut house = House::of(Keeps::Nothing, hosts(2)).await;
    let session = house.caller(0).running(stopwatch()).await;
    let stop = AtomicBool::new(false);
    let [one, two] = [0, 1].map(|first: usize| [house.caller(first), house.caller(1 - first)]);
    let restarting = async {
        for at in [0, 1] {
            let mut watcher = Watching::of(house.caller(at), &session).over(Transport::WebSocket).await;
            let process = house.processes[at].take().unwrap();
            let (ended, closed) = tokio::join!(process.terminate(), watcher.until_closed());
            assert!(ended.success());
            assert_eq!(closed, 1012);
            house.processes[at] = Some(house.hosts[at].serve().await);
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (one, two, ()) =
        tokio::join!(switching(one, &session, "a", &stop), switching(two, &session, "b", &stop), restarting);
    let caller = house.caller(0);
    assert_eq!(caller.snapshot(&session).await["version"].as_u64(), Some(2 + one + two));
    for process in house.processes {
        assert!(process.unwrap().terminate().await.success());
    }
    assert_eq!(house.backends.left_over().await, Vec::<String>::new());
    let rows = house.backends.sql("select json_array(count(*), count(distinct version)) from session_snapshot").await;
    assert_eq!(rows, [json!([2 + one + two, 2 + one + two])]);
    println!("{} switches went on through two restarts", one + two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_drains_the_outbox_of_serving_processes() {
    let backends = Backends::shared(Keeps::Nothing).await;
    let (serving, working) = (backends.lead(Host::new()), backends.lead(Host::new()));
    let process = serving.start(&["serve", "--no-audit"]).await;
    let session = serving.caller().running(stopwatch()).await;
    let waiting = serving.caller().get(format!("{}/history", session.path())).await.expect(200).body;
    assert_eq!(waiting["changes"], json!([]));
    let worker = working.spawn(&["worker"]);
    eventually("it is drained", async || {
        let history = serving.caller().get(format!("{}/history", session.path())).await.expect(200).body;
        (history["changes"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    assert!(process.terminate().await.success());
    assert!(worker.terminate().await.success());
    assert_eq!(backends.left_over().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn unsafe_shared_settings_are_refused_at_start() {
    let backends = Backends::shared(Keeps::Nothing).await;
    let redis = backends.redis().unwrap();
    let alone = Host::new().with("REDIS_URL", &redis.url());
    let refused = alone.run(&["serve"]).await;
    assert!(!refused.status.success() && said(&refused).contains("--single-instance"), "{}", said(&refused));
    let process = alone.start(&["serve", "--single-instance"]).await;
    let session = alone.caller().running(blitz()).await;
    process.kill();
    let again = alone.start(&["serve", "--single-instance"]).await;
    assert_eq!(alone.caller().snapshot(&session).await["recovered"], false, "Redis kept it");
    assert!(again.terminate().await.success());

    let unsafe_one = Server::with(Keeps::Nothing, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let host = backends.lead(Host::new()).with("REDIS_URL", &unsafe_one.url());
    let refused = host.run(&["serve"]).await;
    assert!(!refused.status.success() && said(&refused).contains("allkeys-lru"), "{}", said(&refused));
    let process = host.start(&["serve", "--allow-eviction"]).await;
    assert!(process.log().contains("may evict sessions"), "{}", process.log());
    assert!(process.terminate().await.success());

    let nobody = backends.lead(Host::new()).with("REDIS_URL", "redis://127.0.0.1:1");
    let began = Instant::now();
    let refused = nobody.run(&["serve"]).await;
    assert!(!refused.status.success() && said(&refused).contains("failed to reach Redis"), "{}", said(&refused));
    assert!(began.elapsed() < Duration::from_secs(10));
    let worker = Host::new().run(&["worker"]).await;
    assert!(!worker.status.success() && said(&worker).contains("REDIS_URL"), "{}", said(&worker));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_minute_outage_pauses_clocks_where_they_stood() {
    let mut house = House::of(Keeps::Nothing, hosts(2)).await;
    let caller = house.caller(0);
    let long = |id: &str, more: Value| with(with(countdown(600_000), json!({"session_id": id})), more);
    let paused = caller.running(long("paused", json!({}))).await;
    let charged = caller.running(long("charged", json!({"on_outage": "charge"}))).await;
    for session in [&paused, &charged] {
        caller.get(format!("{}/history", session.path())).await.expect(200);
    }
    eventually("proof of life", async || {
        let beats = house.backends.sql("select json_array(at) from heartbeat").await;
        let started = instant_ms(&caller.snapshot(&charged).await["updated_at"]);
        beats.first().and_then(|beat| beat[0].as_i64()).is_some_and(|at| at > started).then_some(())
    })
    .await;
    for process in &mut house.processes {
        process.take().unwrap().kill();
    }
    // When it is there again half a minute has gone by, as far as everybody can tell.
    house.backends.redis_mut().kill();
    house.backends.redis_mut().start_again();
    house.backends.redis().unwrap().set_clock_offset_ms(30_000);
    let _again = house.hosts[0].serve().await;
    let caller = house.caller(0);
    let (stands, runs) = (caller.snapshot(&paused).await, caller.snapshot(&charged).await);
    assert_eq!((&stands["status"], &stands["pause_reasons"]), (&json!("paused"), &json!(["outage"])), "{stands}");
    assert_eq!((&runs["status"], &runs["recovered"]), (&json!("running"), &json!(true)), "{runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_set_to_evict_is_noticed_and_still_used() {
    let mut house = House::of(Keeps::Nothing, hosts(1)).await;
    let (host, process) = (&house.hosts[0], house.processes[0].take().unwrap());
    let until_told = async |evicts: &str| {
        let line = format!("synckairos_store_evicts {evicts}\n");
        eventually("the metric", async || host.scrape().await.contains(&line).then_some(())).await;
    };
    until_told("0").await;
    let redis = house.backends.redis().unwrap();
    redis.say(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    until_told("1").await;
    host.caller().get("/ready").await.expect(200);
    redis.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    until_told("0").await;
    let log = process.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("ERROR") && line.contains("allkeys-lru")).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(log.contains("Redis evicts nothing"), "{log}");
    assert!(process.terminate().await.success());
}

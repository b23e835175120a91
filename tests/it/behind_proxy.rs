//! Instances behind the nginx that this repository ships.

use std::time::Duration;

use futures::future::{join, join_all};
use http::Method;
use serde_json::json;
use testkit::nginx::Nginx;
use testkit::process::Process;
use testkit::redis::Keeps;
use tokio::time::Instant;

use crate::harness::backends::Backends;
use crate::harness::caller::{Authority, Caller, client};
use crate::harness::process::Host;
use crate::harness::raw::KeepAliveConnection;
use crate::harness::{Session, soon, stopwatch};

/// nginx gives up a silent instance after four seconds, and another one answers at once.
const LIMIT: Duration = Duration::from_millis(5_500);

/// Three instances and the proxy before them.
struct Site {
    _backends: Backends,
    hosts: Vec<Host>,
    processes: Vec<Process>,
    nginx: Nginx,
    caller: Caller,
}

impl Site {
    async fn start() -> Self {
        let backends = Backends::shared(Keeps::Nothing).await;
        let hosts: Vec<_> = (0..3).map(|_| backends.lead(Host::new())).collect();
        let processes = join_all(hosts.iter().map(Host::serve)).await;
        let nginx = Nginx::before(hosts.iter().map(Host::address)).await;
        let caller = Caller::new(client(), nginx.address, Authority::Operator);
        Self { _backends: backends, hosts, processes, nginx, caller }
    }
}

async fn keyed_switch(caller: &Caller, session: &Session, key: usize) {
    let asking = caller.asking(Method::POST, format!("{}/switch", session.path()));
    asking.key(&format!("k{key}")).json(&json!({})).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_instance_delays_its_requests_by_seconds_and_repeats_nothing() {
    let site = Site::start().await;
    let caller = &site.caller;
    let session = caller.running(stopwatch()).await;
    // Longer than any command may take, which is no reason to give it up.
    let newest = caller.get(session.path()).await.expect(200).header("etag").trim_matches(['W', '/', '"']).to_owned();
    let poll = format!("{}/poll?since={newest}&timeout_ms=4500", session.path());
    assert_eq!(caller.get(poll).await.expect(200).body["timed_out"], true);

    site.processes[0].send("STOP");
    let began = Instant::now();
    let reads = join_all((0..9).map(|_| caller.snapshot(&session)));
    join(reads, join_all((0..6).map(|key| keyed_switch(caller, &session, key)))).await;
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    // It finds commands that have been done elsewhere meanwhile.
    site.processes[0].send("CONT");
    let woken = site.hosts[0].caller();
    join_all((0..6).map(|key| keyed_switch(&woken, &session, key))).await;
    for host in &site.hosts {
        assert_eq!(host.caller().snapshot(&session).await["version"], 2 + 6);
    }
    for process in site.processes {
        assert!(process.terminate().await.success());
    }
}

/// Opens a connection to the proxy with that request.
async fn requested(site: &Site, request: &str) -> KeepAliveConnection {
    let mut connection = KeepAliveConnection::open(site.nginx.address).await;
    connection.say(request).await;
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_an_address_reaches_no_log_of_the_proxy() {
    let mut site = Site::start().await;
    let session = site.caller.running(stopwatch()).await;
    let token = site.caller.token().unwrap().to_owned();
    let path = session.path();
    let tokens = [format!("token={token}"), format!("%74oken={token}"), format!("x=1&ToKeN={token}")];
    let places = [
        format!("{path}/events"),
        format!("{path}/poll"),
        format!("{path}/ws"),
        format!("/v1/events?sessions={}", session.id),
        "/v1/ws".to_owned(),
        path.clone(),
        "/".to_owned(),
    ];
    let mut requests = Vec::new();
    for place in &places {
        let separator = if place.contains('?') { '&' } else { '?' };
        for token in &tokens {
            requests.push(format!("GET {place}{separator}{token} HTTP/1.1\r\nhost: x\r\n\r\n"));
        }
    }
    let large = "content-type: application/json\r\ncontent-length: 3000000\r\n";
    requests.push(format!("POST /v1/sessions?{} HTTP/1.1\r\nhost: x\r\n{large}\r\n", tokens[0]));
    let mut streams = join_all(requests.iter().map(|request| requested(&site, request))).await;
    assert_eq!(soon("an answer", streams[0].answer()).await.unwrap().status, 200, "it is a stream");
    assert_eq!(soon("an answer", streams.last_mut().unwrap().answer()).await.unwrap().status, 413);
    std::mem::take(&mut site.processes).into_iter().for_each(Process::kill);
    while soon("the end of the stream", streams[0].line()).await.is_some() {}
    // Now there is nobody whom it could ask.
    requests.push(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    for request in &requests {
        let said = soon("an answer", requested(&site, request).await.answer()).await.unwrap();
        assert!([413, 502].contains(&said.status), "{request}: {said:?}");
    }
    let log = site.nginx.log();
    assert!(log.contains(&path), "what is no secret is logged: {log}");
    assert!(!log.contains(&token), "{log}");
}

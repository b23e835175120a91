//! The files of TLS: read again when they change, kept when they cannot be used.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::certificates::{Authority, Certificate};

use crate::harness::process::Host;
use crate::harness::secure::{SecureClient, authorization, serving, until_scraped};
use crate::harness::{Cluster, blitz, eventually, soon};

fn quick(config: &mut synckairos::config::Config) {
    config.timers.tls_poll = Duration::from_millis(20);
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&certificate.chain).unwrap()
}

async fn served(client: &SecureClient) -> CertificateDer<'static> {
    client.connect().await.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn until_served(client: &SecureClient, expected: &CertificateDer<'static>) {
    eventually("the new certificate", async || (served(client).await == *expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_served_and_open_streams_go_on() {
    let authority = Authority::new();
    let (place, new) = (authority.server(), authority.server());
    let cluster = Cluster::of(1).in_real_time().with(serving(&place)).with(quick).start().await;
    let client = SecureClient::of(&cluster, &authority);
    let session = client.running(&blitz()).await;
    let mut open = client.kept().await;
    open.ask(&format!("{}/events", session.path()), &Host::authorization(), "").await;
    assert_eq!(served(&client).await, der(&place));
    let expected = der(&new);
    new.replace(&place);
    until_served(&client, &expected).await;
    client.command(&session, "switch").await;
    let reading = async { while !open.line().await.expect("it goes on").contains("\"version\":3") {} };
    soon("a state on the stream that was open", reading).await;
    until_scraped(&cluster, "synckairos_tls_files_refused 0").await;
    let scrape = cluster.caller(0).scrape(cluster.instance(0).metrics_address).await;
    let number = |name: &str| {
        let line = scrape.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<f64>().unwrap()
    };
    let left = number("synckairos_tls_certificate_remaining_seconds");
    assert!((86_000.0..=86_400.0).contains(&left), "{left}");
    let lifetime = number("synckairos_tls_certificate_lifetime_seconds");
    assert!((172_800.0..172_802.0).contains(&lifetime), "{lifetime}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_leaves_the_certificate_before() {
    let authority = Authority::new();
    let (place, new) = (authority.server(), authority.server());
    let cluster = Cluster::of(1).with(serving(&place)).with(quick).start().await;
    let client = SecureClient::of(&cluster, &authority);
    let (old, expected) = (der(&place), der(&new));
    let spoil: [&dyn Fn(); 4] = [
        &|| std::fs::write(&place.chain, "nonsense").unwrap(),
        &|| std::fs::write(&place.chain, "").unwrap(),
        // The key is still the old one.
        &|| assert!(std::fs::copy(&new.chain, &place.chain).unwrap() > 0),
        &|| std::fs::remove_file(&place.chain).unwrap(),
    ];
    let kept = std::fs::read(&place.chain).unwrap();
    for spoil in spoil {
        spoil();
        until_scraped(&cluster, "synckairos_tls_files_refused 1").await;
        assert_eq!(served(&client).await, old);
        std::fs::write(&place.chain, &kept).unwrap();
        until_scraped(&cluster, "synckairos_tls_files_refused 0").await;
    }
    new.replace(&place);
    until_served(&client, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorities_of_clients_are_read_again() {
    let (authority, other) = (Authority::new(), Authority::new());
    let place = authority.file().with_extension("clients");
    std::fs::copy(authority.file(), &place).unwrap();
    let file = place.clone();
    let plan = Cluster::of(1).in_real_time().with(serving(&authority.server())).with(quick);
    let cluster = plan.with(|config| config.tls.client_ca_file = Some(file)).start().await;
    let client = SecureClient::of(&cluster, &authority).showing(&other.client(&[]));
    assert!(client.is_refused().await);
    let both = [std::fs::read(authority.file()).unwrap(), std::fs::read(other.file()).unwrap()].concat();
    std::fs::write(&place, both).unwrap();
    eventually("another authority", async || client.is_let_in().await.then_some(())).await;
    assert_eq!(client.ask("GET", "/v1/sessions", &authorization(), "").await.status, 200);
}

/// The binary serves over TLS, says so, and its own check reaches it.
#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_and_checks_itself_over_tls() {
    let authority = Authority::new();
    let (certificate, other) = (authority.server(), authority.server());
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let host =
        Host::new().with("TLS_CERT_FILE", &text(&certificate.chain)).with("TLS_KEY_FILE", &text(&certificate.key));
    let process = host.spawn(&["serve"]);
    let client = SecureClient::at(host.address(), &authority.file());
    eventually("an instance", async || client.connect().await.ok()).await;
    eventually("it is ready", async || host.run(&["healthcheck"]).await.status.success().then_some(())).await;
    assert_eq!(client.ask("GET", "/v1/time", &authorization(), "").await.status, 200);
    drop(process);

    // Nobody gets in without a certificate, and the check has none.
    let host = host.with("TLS_CLIENT_CA_FILE", &text(&authority.file()));
    let process = host.spawn(&["serve"]);
    eventually("it is ready", async || host.run(&["healthcheck"]).await.status.success().then_some(())).await;
    assert!(client.is_refused().await);
    drop(process);

    let mismatch = host.with("TLS_KEY_FILE", &text(&other.key));
    for arguments in [&["serve", "--check"][..], &["serve"]] {
        let refused = mismatch.run(arguments).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains("the key in TLS_KEY_FILE") && said.contains("is not that of the first certificate"),
            "{said}"
        );
    }
    let half = mismatch.with("TLS_KEY_FILE", "");
    let said = String::from_utf8_lossy(&half.run(&["serve", "--check"]).await.stderr).into_owned();
    assert!(said.contains("set TLS_KEY_FILE too"), "{said}");
}

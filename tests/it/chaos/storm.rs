//! Thousands who are cut off at once and come back at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::round::Load;
use super::testbed::Testbed;
use crate::harness::Session;
use crate::harness::follow::{By, Follower, Whose};
use crate::harness::process::Host;

/// So many knock at the same instant: a machine's own queue takes no more.
const MAX_CONCURRENT_CONNECTS: usize = 500;

pub async fn storm(testbed: &mut Testbed, load: Load) {
    let session = Session { id: "blitz-0".to_owned() };
    let whose = |at: usize| Whose::new(testbed.hosts[at % 3].address(), &session, Host::authorization());
    let all: Vec<_> = (0..load.crowd).map(whose).collect();
    drop(come(&all).await);
    let began = Instant::now();
    let crowd = come(&all).await;
    println!("  {} came back within {:?}", crowd.len(), began.elapsed());
}

/// Each is there once it has been told the state.
async fn come(all: &[Whose]) -> Vec<Follower> {
    let door = Arc::new(Semaphore::new(MAX_CONCURRENT_CONNECTS));
    let coming = all.iter().map(|whose| {
        let door = Arc::clone(&door);
        async move {
            let _turn = door.acquire().await.unwrap();
            let mut follower = whose.follow(By::WebSocket, None).await;
            let told = timeout(Duration::from_secs(20), follower.next()).await.expect("a state in time");
            assert!(told.is_some(), "sent away");
            follower
        }
    });
    join_all(coming).await
}

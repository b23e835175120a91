//! Which deployment writes.

use futures::future::join_all;

use crate::ledger::Ledger;
use crate::ledger::deployment::{Claim, Claimed};

fn claim(fresh: &str, id: Option<&str>) -> Claim {
    let [fresh, name, place, address] = [fresh, "sk", "p", "redis://h"].map(str::to_owned);
    Claim { id: id.map(str::to_owned), fresh, name, place, address, ..Claim::default() }
}

pub(super) async fn of_claims_at_the_same_moment_one_comes_first(ledger: &dyn Ledger) {
    let claims: Vec<_> = (0..4).map(|number| claim(&number.to_string(), None)).collect();
    let claimed = join_all(claims.iter().map(|claim| ledger.claim(claim))).await;
    let claimed: Vec<_> = claimed.into_iter().map(Result::unwrap).collect();
    let held: Vec<_> = claimed.iter().filter(|claimed| matches!(claimed, Claimed::Held(_))).collect();
    let [Claimed::Held(id)] = held[..] else { panic!("{claimed:?}") };
    for other in claimed.iter().filter(|claimed| !matches!(claimed, Claimed::Held(_))) {
        let Claimed::Unclear(mark) = other else { panic!("{other:?}") };
        assert_eq!((&mark.id, mark.beats, mark.address.as_str()), (id, 1, "redis://h"));
    }
}

pub(super) async fn a_mark_stays_until_it_is_taken(ledger: &dyn Ledger) {
    let held = |id: &str| Claimed::Held(id.to_owned());
    assert_eq!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), held("a"));
    assert_eq!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), held("a"));
    let Claimed::Others(mark) = ledger.claim(&claim("f", Some("b"))).await.unwrap() else { panic!("it is a's") };
    assert_eq!((mark.id.as_str(), mark.beats), ("a", 2));
    let takes = Claim { takes_over: true, ..claim("f", Some("b")) };
    assert_eq!(ledger.claim(&takes).await.unwrap(), held("b"));
    assert!(matches!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), Claimed::Others(_)));
}

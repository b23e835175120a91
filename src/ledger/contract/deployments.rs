//! Which deployment owns the ledger.

use futures::future::join_all;

use crate::ledger::Ledger;
use crate::ledger::deployment::{Claim, ClaimOutcome};

fn claim(new_id: &str, id: Option<&str>) -> Claim {
    let [new_id, name, process, address] = [new_id, "sk", "p", "redis://h"].map(str::to_owned);
    Claim { id: id.map(str::to_owned), new_id, name, process, address, ..Claim::default() }
}

pub(super) async fn of_concurrent_claims_one_holds(ledger: &dyn Ledger) {
    let claims: Vec<_> = (0..4).map(|number| claim(&number.to_string(), None)).collect();
    let claimed = join_all(claims.iter().map(|claim| ledger.claim(claim))).await;
    let claimed: Vec<_> = claimed.into_iter().map(Result::unwrap).collect();
    let held: Vec<_> = claimed.iter().filter(|claimed| matches!(claimed, ClaimOutcome::Held(_))).collect();
    let [ClaimOutcome::Held(id)] = held[..] else { panic!("{claimed:?}") };
    for other in claimed.iter().filter(|claimed| !matches!(claimed, ClaimOutcome::Held(_))) {
        let ClaimOutcome::Unclear(owner) = other else { panic!("{other:?}") };
        assert_eq!((&owner.id, owner.beats, owner.address.as_str()), (id, 1, "redis://h"));
    }
}

pub(super) async fn an_owner_stays_until_a_take_over(ledger: &dyn Ledger) {
    let held = |id: &str| ClaimOutcome::Held(id.to_owned());
    assert_eq!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), ClaimOutcome::Unmarked);
    assert_eq!(ledger.claim(&claim("a", None)).await.unwrap(), held("a"));
    assert_eq!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), held("a"));
    let ClaimOutcome::Foreign(owner) = ledger.claim(&claim("f", Some("b"))).await.unwrap() else { panic!("it is a's") };
    assert_eq!((owner.id.as_str(), owner.beats), ("a", 2));
    let takes = Claim { takes_over: true, ..claim("f", Some("b")) };
    assert_eq!(ledger.claim(&takes).await.unwrap(), held("b"));
    assert!(matches!(ledger.claim(&claim("f", Some("a"))).await.unwrap(), ClaimOutcome::Foreign(_)));
}

//! Which deployment owns the ledger: a row in it, and the result of a claim.
//!
//! A deployment shares one Redis under one name. Its id stands in that Redis and in the row. A
//! Redis that lost everything has no id; it adopts the row's once the owner is dead.
//!
//! The row also names the Redis processes that held the sessions. Two of them may have the same
//! id, after a failover or from a copy: the later one is right.
//!
//! A Redis that has an id has a ledger with a row. So a ledger without one is another ledger: it
//! is refused, as both would have a part of every history.
//!
//! No clock is read: an owner is alive while the row's heartbeat count increases.

/// The most Redis processes in the row.
const MAX_PROCESSES: usize = 8;

/// A request to own the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The deployment's id, if its Redis has one.
    pub id: Option<String>,
    /// A new, unique id, in case it needs one.
    pub new_id: String,
    /// Its name in Redis; empty if sessions are in the memory of one process.
    pub name: String,
    /// The process that holds its sessions.
    pub process: String,
    /// The address of that process, for messages.
    pub address: String,
    /// The owner's heartbeat count if it has stalled for so long that the owner is dead.
    pub stalled_beats: Option<i64>,
    /// Whether it takes the ledger from any owner.
    pub takes_over: bool,
    /// Whether this process has owned the ledger: one without a row is still the same, then.
    pub has_owned: bool,
}

/// The owner of the ledger, as recorded in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The owner's id.
    pub id: String,
    /// Its name in Redis; empty if sessions are in the memory of one process.
    pub name: String,
    /// The processes that have held its sessions, newest first.
    pub processes: Vec<String>,
    /// The address of the newest of them, for messages.
    pub address: String,
    /// The number of its heartbeats.
    pub beats: i64,
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The deployment owns the ledger, under this id.
    Held(String),
    /// A later Redis process holds the same deployment, or did a moment ago.
    Behind(Deployment),
    /// Its Redis has no id, and the recorded owner may be alive.
    Unclear(Deployment),
    /// Another deployment owns the ledger.
    Foreign(Deployment),
    /// The ledger has no owner, but the claim's deployment has a ledger already.
    Unmarked,
}

impl Deployment {
    fn is_in_memory(&self) -> bool {
        self.name.is_empty()
    }
}

/// The owner to record if the claim holds.
pub(super) fn apply_claim(current: Option<Deployment>, claim: &Claim) -> Result<Deployment, ClaimOutcome> {
    let Some(owner) = current else {
        let is_first = claim.id.is_none() || claim.has_owned || claim.takes_over;
        return if is_first { Ok(new_owner(claim, 0)) } else { Err(ClaimOutcome::Unmarked) };
    };
    match decide(owner, claim) {
        // From now on, the later process of the same deployment counts as the older one.
        Err(ClaimOutcome::Behind(owner)) if claim.takes_over => Ok(renewed(owner, claim)),
        Err(ClaimOutcome::Unclear(owner) | ClaimOutcome::Foreign(owner)) if claim.takes_over => {
            Ok(new_owner(claim, owner.beats))
        }
        decided => decided,
    }
}

/// The deployment that claims, as a new owner.
fn new_owner(claim: &Claim, beats: i64) -> Deployment {
    let Claim { id, new_id, name, process, address, .. } = claim.clone();
    Deployment { id: id.unwrap_or(new_id), name, processes: vec![process], address, beats: beats + 1 }
}

fn decide(owner: Deployment, claim: &Claim) -> Result<Deployment, ClaimOutcome> {
    let is_stalled = claim.stalled_beats == Some(owner.beats);
    if owner.name != claim.name {
        return match (owner.is_in_memory(), is_stalled) {
            // All its sessions are in the ledger.
            (true, true) => Ok(new_owner(claim, owner.beats)),
            (true, false) => Err(ClaimOutcome::Unclear(owner)),
            (false, _) => Err(ClaimOutcome::Foreign(owner)),
        };
    }
    // An advisory lock excludes a second process.
    if owner.is_in_memory() {
        return Ok(renewed(owner, claim));
    }
    match &claim.id {
        Some(id) if *id != owner.id => Err(ClaimOutcome::Foreign(owner)),
        Some(_) if is_stalled || !is_behind(&owner, claim) => Ok(renewed(owner, claim)),
        Some(_) => Err(ClaimOutcome::Behind(owner)),
        None if is_stalled => Ok(renewed(owner, claim)),
        None => Err(ClaimOutcome::Unclear(owner)),
    }
}

/// Whether a later process than the claim's is recorded.
fn is_behind(owner: &Deployment, claim: &Claim) -> bool {
    owner.processes.iter().position(|process| *process == claim.process).is_some_and(|age| age > 0)
}

/// The same deployment, after a heartbeat of the claim's process.
fn renewed(mut owner: Deployment, claim: &Claim) -> Deployment {
    owner.processes.retain(|process| *process != claim.process);
    owner.processes.insert(0, claim.process.clone());
    owner.processes.truncate(MAX_PROCESSES);
    owner.address.clone_from(&claim.address);
    owner.beats += 1;
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: Option<&str>, name: &str, process: &str) -> Claim {
        let [name, process, new_id] = [name, process, "new"].map(str::to_owned);
        Claim { id: id.map(str::to_owned), new_id, name, process, ..Claim::default() }
    }

    fn owner(id: &str, name: &str, processes: &str, beats: i64) -> Deployment {
        let processes = processes.split_whitespace().map(str::to_owned).collect();
        Deployment { id: id.to_owned(), name: name.to_owned(), processes, address: String::new(), beats }
    }

    fn stalled(beats: i64, claim: Claim) -> Claim {
        Claim { stalled_beats: Some(beats), ..claim }
    }

    #[test]
    fn the_first_claim_of_a_new_ledger_holds() {
        assert_eq!(apply_claim(None, &claim(None, "sk", "p")), Ok(owner("new", "sk", "p", 1)));
    }

    #[test]
    fn a_deployment_with_a_ledger_gets_no_other_unless_it_says_so() {
        let known = claim(Some("a"), "sk", "p");
        assert_eq!(apply_claim(None, &known), Err(ClaimOutcome::Unmarked));
        for claim in [Claim { has_owned: true, ..known.clone() }, Claim { takes_over: true, ..known }] {
            assert_eq!(apply_claim(None, &claim), Ok(owner("a", "sk", "p", 1)));
        }
    }

    #[test]
    fn another_name_or_id_is_refused_even_if_the_owner_is_dead() {
        let current = owner("a", "sk", "p", 7);
        for other in [claim(Some("a"), "sk@1", "p"), claim(None, "sk@1", "p"), claim(Some("b"), "sk", "q")] {
            for claim in [other.clone(), stalled(7, other)] {
                assert_eq!(
                    apply_claim(Some(current.clone()), &claim),
                    Err(ClaimOutcome::Foreign(current.clone())),
                    "{claim:?}"
                );
                let taken = apply_claim(Some(current.clone()), &Claim { takes_over: true, ..claim.clone() }).unwrap();
                let id = claim.id.as_deref().unwrap_or("new");
                assert_eq!(taken, owner(id, &claim.name, &claim.process, 8));
            }
        }
    }

    #[test]
    fn an_empty_redis_adopts_the_id_once_the_owner_is_dead() {
        let current = owner("a", "sk", "p", 7);
        let emptied = claim(None, "sk", "q");
        for claim in [emptied.clone(), stalled(6, emptied.clone())] {
            assert_eq!(apply_claim(Some(current.clone()), &claim), Err(ClaimOutcome::Unclear(current.clone())));
        }
        assert_eq!(apply_claim(Some(current), &stalled(7, emptied)), Ok(owner("a", "sk", "q p", 8)));
    }

    #[test]
    fn of_two_processes_the_later_one_holds_until_it_is_dead() {
        let [first, second] = ["p", "q"].map(|process| claim(Some("a"), "sk", process));
        let current = apply_claim(Some(owner("a", "sk", "p", 1)), &first).unwrap();
        assert_eq!(current, owner("a", "sk", "p", 2));
        let current = apply_claim(Some(current), &second).unwrap();
        assert_eq!(current, owner("a", "sk", "q p", 3));
        assert_eq!(apply_claim(Some(current.clone()), &first), Err(ClaimOutcome::Behind(current.clone())));
        let taken = apply_claim(Some(current.clone()), &Claim { takes_over: true, ..first.clone() }).unwrap();
        assert!(matches!(apply_claim(Some(taken), &second), Err(ClaimOutcome::Behind(_))));
        let current = apply_claim(Some(current), &second).unwrap();
        // It failed back.
        assert_eq!(apply_claim(Some(current), &stalled(4, first)), Ok(owner("a", "sk", "p q", 5)));
    }

    #[test]
    fn a_process_in_memory_leaves_nothing_and_takes_nothing_over() {
        let current = owner("a", "", "p", 3);
        let shared = claim(Some("b"), "sk", "q");
        assert_eq!(apply_claim(Some(current.clone()), &shared), Err(ClaimOutcome::Unclear(current.clone())));
        assert_eq!(apply_claim(Some(current.clone()), &stalled(3, shared)), Ok(owner("b", "sk", "q", 4)));
        assert_eq!(apply_claim(Some(current), &claim(None, "", "r")), Ok(owner("a", "", "r p", 4)));
        let shared = owner("b", "sk", "q", 4);
        assert_eq!(
            apply_claim(Some(shared.clone()), &stalled(4, claim(None, "", "r"))),
            Err(ClaimOutcome::Foreign(shared))
        );
    }

    #[test]
    fn few_processes_are_recorded() {
        let mut current = owner("a", "sk", "p", 1);
        for number in 0..20 {
            current = apply_claim(Some(current), &claim(Some("a"), "sk", &number.to_string())).unwrap();
        }
        assert_eq!((current.processes.len(), current.processes[0].as_str()), (MAX_PROCESSES, "19"));
    }
}

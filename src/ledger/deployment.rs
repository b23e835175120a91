//! Which deployment writes to the ledger: a mark in it, and what becomes of a claim.
//!
//! A deployment is what shares one Redis under one name. Its id stands in that Redis and in
//! the mark. A Redis that lost everything has none, and goes on with the mark's if nobody
//! lives under that any more. The mark also has the processes of Redis that held the
//! sessions: of two with the same id, as after a failover or from a copy, the one that came
//! later is right.
//!
//! No clock is read: somebody lives as long as the mark's count moves on.

/// The most processes of Redis that are remembered.
const MAX_PROCESSES: usize = 8;

pub(super) const FIND: &str = "select id, name, places, address, beats from deployment where one = 1";

pub(super) const WRITE: &str = "insert into deployment (one, id, name, places, address, beats) \
    values (1, $1, $2, $3, $4, $5) \
    on conflict (one) do update \
    set id = excluded.id, name = excluded.name, places = excluded.places, \
        address = excluded.address, beats = excluded.beats";

/// Who wants to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Which deployment it is, if its Redis remembers.
    pub id: Option<String>,
    /// An id that nobody has, should it need one.
    pub fresh: String,
    /// What it is called in Redis; empty where sessions are in the memory of one process.
    pub name: String,
    /// The process that holds its sessions.
    pub place: String,
    /// Where that is, for people.
    pub address: String,
    /// The count that has not moved for so long that nobody lives there.
    pub stood_still_at: Option<i64>,
    /// Whether it takes the ledger, whoever has it.
    pub takes_over: bool,
}

/// The mark, as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Which deployment has the ledger.
    pub id: String,
    /// What it is called in Redis; empty where sessions are in the memory of one process.
    pub name: String,
    /// The processes that have held its sessions, newest first.
    pub places: Vec<String>,
    /// Where they were, for people.
    pub address: String,
    /// How often somebody who lives there has said so.
    pub beats: i64,
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The ledger is its own, under this id.
    Held(String),
    /// A process of Redis that came later holds the same deployment, or did a moment ago.
    Behind(Deployment),
    /// Its Redis does not say which deployment it is, and somebody may live under the mark.
    Unclear(Deployment),
    /// The ledger is another deployment's.
    Others(Deployment),
}

impl Deployment {
    /// From the columns of a row.
    pub(super) fn of((id, name, places, address, beats): (String, String, String, String, i64)) -> Self {
        Self { id, name, places: places.split_whitespace().map(str::to_owned).collect(), address, beats }
    }

    fn is_in_memory(&self) -> bool {
        self.name.is_empty()
    }
}

/// What becomes of a claim, and the mark to write where it is held.
pub(super) fn apply_claim(stands: Option<Deployment>, claim: &Claim) -> Result<Deployment, Claimed> {
    let Some(mark) = stands else { return Ok(new(claim, 0)) };
    match check(mark, claim) {
        // A process of the same deployment that came later is older from now on.
        Err(Claimed::Behind(mark)) if claim.takes_over => Ok(renewed(mark, claim)),
        Err(Claimed::Unclear(mark) | Claimed::Others(mark)) if claim.takes_over => Ok(new(claim, mark.beats)),
        judged => judged,
    }
}

/// A mark of its own.
fn new(claim: &Claim, beats: i64) -> Deployment {
    let Claim { id, fresh, name, place, address, .. } = claim.clone();
    Deployment { id: id.unwrap_or(fresh), name, places: vec![place], address, beats: beats + 1 }
}

fn check(mark: Deployment, claim: &Claim) -> Result<Deployment, Claimed> {
    let is_still = claim.stood_still_at == Some(mark.beats);
    if mark.name != claim.name {
        return match (mark.is_in_memory(), is_still) {
            // It left nothing behind that is not in the ledger.
            (true, true) => Ok(new(claim, mark.beats)),
            (true, false) => Err(Claimed::Unclear(mark)),
            (false, _) => Err(Claimed::Others(mark)),
        };
    }
    // A lock says that it is alone.
    if mark.is_in_memory() {
        return Ok(renewed(mark, claim));
    }
    match &claim.id {
        Some(id) if *id != mark.id => Err(Claimed::Others(mark)),
        Some(_) if is_still || !is_behind(&mark, claim) => Ok(renewed(mark, claim)),
        Some(_) => Err(Claimed::Behind(mark)),
        None if is_still => Ok(renewed(mark, claim)),
        None => Err(Claimed::Unclear(mark)),
    }
}

/// Whether another process came after this one.
fn is_behind(mark: &Deployment, claim: &Claim) -> bool {
    mark.places.iter().position(|place| *place == claim.place).is_some_and(|age| age > 0)
}

/// The same deployment, there now.
fn renewed(mut mark: Deployment, claim: &Claim) -> Deployment {
    mark.places.retain(|place| *place != claim.place);
    mark.places.insert(0, claim.place.clone());
    mark.places.truncate(MAX_PROCESSES);
    mark.address.clone_from(&claim.address);
    mark.beats += 1;
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: Option<&str>, name: &str, place: &str) -> Claim {
        let [name, place, fresh] = [name, place, "fresh"].map(str::to_owned);
        Claim { id: id.map(str::to_owned), fresh, name, place, ..Claim::default() }
    }

    fn mark(id: &str, name: &str, places: &str, beats: i64) -> Deployment {
        Deployment::of((id.to_owned(), name.to_owned(), places.to_owned(), String::new(), beats))
    }

    fn still(beats: i64, claim: Claim) -> Claim {
        Claim { stood_still_at: Some(beats), ..claim }
    }

    #[test]
    fn a_ledger_without_a_mark_is_whose_asks_first() {
        assert_eq!(apply_claim(None, &claim(Some("a"), "sk", "p")), Ok(mark("a", "sk", "p", 1)));
        assert_eq!(apply_claim(None, &claim(None, "sk", "p")), Ok(mark("fresh", "sk", "p", 1)));
    }

    #[test]
    fn another_name_or_id_is_refused_whether_anybody_lives_or_not() {
        let stands = mark("a", "sk", "p", 7);
        for other in [claim(Some("a"), "sk@1", "p"), claim(None, "sk@1", "p"), claim(Some("b"), "sk", "q")] {
            for claim in [other.clone(), still(7, other)] {
                assert_eq!(
                    apply_claim(Some(stands.clone()), &claim),
                    Err(Claimed::Others(stands.clone())),
                    "{claim:?}"
                );
                let taken = apply_claim(Some(stands.clone()), &Claim { takes_over: true, ..claim.clone() }).unwrap();
                let id = claim.id.as_deref().unwrap_or("fresh");
                assert_eq!(taken, mark(id, &claim.name, &claim.place, 8));
            }
        }
    }

    #[test]
    fn a_redis_that_lost_everything_goes_on_once_nobody_lives_elsewhere() {
        let stands = mark("a", "sk", "p", 7);
        let emptied = claim(None, "sk", "q");
        for claim in [emptied.clone(), still(6, emptied.clone())] {
            assert_eq!(apply_claim(Some(stands.clone()), &claim), Err(Claimed::Unclear(stands.clone())));
        }
        assert_eq!(apply_claim(Some(stands), &still(7, emptied)), Ok(mark("a", "sk", "q p", 8)));
    }

    #[test]
    fn of_two_processes_the_one_that_came_later_is_right_until_it_is_gone() {
        let [first, second] = ["p", "q"].map(|place| claim(Some("a"), "sk", place));
        let stands = apply_claim(Some(mark("a", "sk", "p", 1)), &first).unwrap();
        assert_eq!(stands, mark("a", "sk", "p", 2));
        let stands = apply_claim(Some(stands), &second).unwrap();
        assert_eq!(stands, mark("a", "sk", "q p", 3));
        assert_eq!(apply_claim(Some(stands.clone()), &first), Err(Claimed::Behind(stands.clone())));
        let taken = apply_claim(Some(stands.clone()), &Claim { takes_over: true, ..first.clone() }).unwrap();
        assert!(matches!(apply_claim(Some(taken), &second), Err(Claimed::Behind(_))));
        let stands = apply_claim(Some(stands), &second).unwrap();
        // It failed back.
        assert_eq!(apply_claim(Some(stands), &still(4, first)), Ok(mark("a", "sk", "p q", 5)));
    }

    #[test]
    fn a_process_in_memory_leaves_nothing_behind_and_takes_nothing_from_others() {
        let stands = mark("a", "", "p", 3);
        let shared = claim(Some("b"), "sk", "q");
        assert_eq!(apply_claim(Some(stands.clone()), &shared), Err(Claimed::Unclear(stands.clone())));
        assert_eq!(apply_claim(Some(stands.clone()), &still(3, shared)), Ok(mark("b", "sk", "q", 4)));
        assert_eq!(apply_claim(Some(stands), &claim(None, "", "r")), Ok(mark("a", "", "r p", 4)));
        let shared = mark("b", "sk", "q", 4);
        assert_eq!(apply_claim(Some(shared.clone()), &still(4, claim(None, "", "r"))), Err(Claimed::Others(shared)));
    }

    #[test]
    fn few_processes_are_remembered() {
        let mut stands = mark("a", "sk", "p", 1);
        for number in 0..20 {
            stands = apply_claim(Some(stands), &claim(Some("a"), "sk", &number.to_string())).unwrap();
        }
        assert_eq!((stands.places.len(), stands.places[0].as_str()), (MAX_PROCESSES, "19"));
    }
}

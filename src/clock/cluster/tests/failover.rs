//! Cluster time when its reference goes, comes back, or forgets.

use proptest::prelude::{ProptestConfig, proptest};

use super::{HOUR, Instance, Master, NextStep, Skewed, StoredOffset};

const CLAIM_DELAY_US: i64 = 1_500_000;

fn steady() -> Skewed {
    Skewed { ahead: 0, ppm: 0 }
}

/// A master, an instance that has followed it for a while, and the time after that.
fn followed(seed: u64, ppm: i64) -> (Master, Instance, i64) {
    let mut master = Master::new("a", steady());
    let mut instance = Instance::new(Skewed { ahead: 77, ppm }, seed, 800);
    let truth = instance.run(&mut master, 0, 10_000_000);
    (master, instance, truth)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_failover_to_a_master_whose_clock_is_an_hour_off_changes_nothing(
        seed: u64,
        ahead in -HOUR..HOUR,
        ppm in -100_i64..=100,
        away in 0_i64..20_000_000,
    ) {
        let (mut master, mut one, truth) = followed(seed, ppm);
        let mut two = Instance::new(Skewed { ahead: HOUR, ppm: -ppm }, !seed, 800);
        let truth = two.run(&mut master, truth, truth + 3_000_000);
        let before = master.clone();
        let mut after = master.succeeded_by("b", Skewed { ahead, ppm: 0 });
        let back = truth + away;
        // The first one to come continues its own time.
        one.run(&mut after, back, back + 1_000_000);
        two.run(&mut after, back + 50_000, back + 1_000_000);
        let now = back + 2_000_000;
        let held = away / 5_000 + 1_000;
        for instance in [&one, &two] {
            let off = instance.now(now) - before.cluster(now);
            assert!(off.abs() <= held, "{off} us off after {away}");
        }
        assert!(after.cluster(now).abs_diff(before.cluster(now)) <= held.unsigned_abs());
    }
}

#[test]
fn uncertainty_grows_while_the_reference_is_away() {
    let (mut master, mut instance, truth) = followed(1, 40);
    let near = instance.uncertainty(truth);
    assert!(near < 1_000, "{near}");
    let away = 100_000_000;
    let far = instance.uncertainty(truth + away);
    assert!((20_000..22_000).contains(&far), "{far}");
    let back = instance.run(&mut master, truth + away, truth + away + 20_000_000);
    assert!(instance.uncertainty(back) < 1_000);
}

#[test]
fn a_store_that_forgot_gets_the_exact_offset_at_once() {
    let (mut master, mut instance, truth) = followed(2, 60);
    let offset = master.stored.take().unwrap();
    let (next, _) = instance.ask(&mut master, truth);
    assert_eq!(next, NextStep::Claim(offset.offset_us));
    assert_eq!(master.stored, Some(offset));
}

#[test]
fn a_new_instance_waits_for_instances_that_know() {
    let (master, mut old, truth) = followed(3, 0);
    for stored in [None, master.stored.clone()] {
        let mut after = Master { stored, ..Master::new("c", Skewed { ahead: HOUR, ppm: 0 }) };
        let mut new = Instance::new(steady(), 4, 800);
        let mut asked = truth;
        while asked < truth + CLAIM_DELAY_US * 2 - 30_000 {
            let (next, done) = new.ask(&mut after, asked);
            assert_eq!((next, new.discipline.mapping()), (NextStep::Retry, None));
            asked = done + 20_000;
        }
        // It came late, but in time.
        old.run(&mut after, asked, asked + 300_000);
        new.run(&mut after, asked + 300_000, asked + 900_000);
        let off = new.now(asked + HOUR / 100) - master.cluster(asked + HOUR / 100);
        assert!(off.abs() < 1_000 + HOUR / 100 / 5_000, "{off}");
    }
}

#[test]
fn a_lone_new_instance_continues_the_stored_offset() {
    for (stored, expected) in [(None, 0), (Some(StoredOffset { run_id: "gone".into(), offset_us: -HOUR }), -HOUR)] {
        let mut master = Master { stored, ..Master::new("b", steady()) };
        let mut new = Instance::new(Skewed { ahead: HOUR * 9, ppm: 0 }, 5, 800);
        new.run(&mut master, 0, CLAIM_DELAY_US * 3);
        assert_eq!(master.stored, Some(StoredOffset { run_id: "b".into(), offset_us: expected }));
        assert!((new.now(CLAIM_DELAY_US * 3) - master.cluster(CLAIM_DELAY_US * 3)).abs() < 1_000);
    }
}

#[test]
fn an_uncertain_instance_lets_others_claim_first() {
    let (master, mut uncertain, truth) = followed(6, 100);
    let truth = truth + HOUR;
    let mut after = master.succeeded_by("b", Skewed { ahead: HOUR, ppm: 0 });
    let mut asked = truth;
    while asked < truth + CLAIM_DELAY_US - 30_000 {
        let (next, done) = uncertain.ask(&mut after, asked);
        assert_eq!(next, NextStep::Retry);
        asked = done + 20_000;
    }
    let (_, next) = (uncertain.run(&mut after, asked, truth + CLAIM_DELAY_US + 500_000), after.stored.clone().unwrap());
    assert_eq!(next.run_id, "b", "no other instance came");
}

#[test]
fn the_offset_of_another_instance_is_slewed_to() {
    let (mut master, mut instance, truth) = followed(7, 0);
    master.stored.as_mut().unwrap().offset_us += 10_000;
    let (before, at) = (instance.now(truth), truth);
    let truth = instance.run(&mut master, truth, truth + 1_000_000);
    let passed = instance.now(truth) - before;
    assert!((passed - (truth - at)).abs() <= (truth - at) / 2_000 + 1, "{passed}");
    assert!(instance.uncertainty(truth) > 9_000);
    let truth = instance.run(&mut master, truth, truth + 25_000_000);
    assert!((instance.now(truth) - master.cluster(truth)).abs() < 1_000);
}

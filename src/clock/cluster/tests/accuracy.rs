//! The clock is where it should be, and gets there without a step.

use proptest::prelude::{ProptestConfig, proptest};

use super::{HOUR, Instance, Master, Skewed};

fn master(ahead: i64, ppm: i64) -> Master {
    Master::new("a", Skewed { ahead, ppm })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_is_never_further_off_than_it_says(
        seed: u64,
        round_trip in 2_i64..200_000,
        ahead in -HOUR..HOUR,
        drifts in (-100_i64..=100, -100_i64..=100),
    ) {
        let mut master = master(ahead, drifts.0);
        let mut instance = Instance::new(Skewed { ahead: HOUR - ahead, ppm: drifts.1 }, seed, round_trip);
        let mut truth = instance.run(&mut master, 0, 4_000_000);
        for _ in 0..50 {
            truth = instance.run(&mut master, truth, truth + 1);
            for later in [truth, truth + 300_000] {
                let off = instance.now(later) - master.cluster(later);
                assert!(off.abs() <= instance.uncertainty(later) + 1, "{off} us off at {later}");
            }
        }
        // It rests on an exchange at least as good as half of any round trip.
        assert!(instance.uncertainty(truth) <= round_trip / 2 + 30_000);
    }

    #[test]
    fn the_first_exchanges_find_it_within_half_a_round_trip(seed: u64, round_trip in 2_i64..50_000, ahead in -HOUR..HOUR) {
        let mut master = master(ahead, 0);
        let mut first = Instance::new(Skewed { ahead: 0, ppm: 0 }, seed, round_trip);
        let truth = first.run(&mut master, 0, 4_000_000);
        let mut second = Instance::new(Skewed { ahead: -ahead, ppm: 0 }, seed ^ 1, round_trip);
        let mut asked = 0;
        while second.discipline.mapping().is_none() {
            second.ask(&mut master, truth + asked * 20_000);
            asked += 1;
        }
        let off = second.now(truth + 200_000) - master.cluster(truth + 200_000);
        assert!(asked <= 8 && off.abs() <= round_trip / 2 + 2, "{off} us off after {asked}");
    }

    #[test]
    fn it_never_goes_back_and_is_slewed_no_faster_than_it_may(seed: u64, round_trip in 2_i64..400_000, ppm in -100_i64..=100) {
        let mut master = master(0, -ppm);
        let mut instance = Instance::new(Skewed { ahead: 5, ppm }, seed, round_trip);
        let mut truth = instance.run(&mut master, 0, 4_000_000);
        let mut before = (instance.counter.at(truth), instance.now(truth));
        for round in 0..200 {
            if round % 50 == 49 {
                // Another instance stores another offset.
                master.stored.as_mut().unwrap().offset_us += instance.rng.up_to(HOUR * 2) - HOUR;
            }
            let next = instance.run(&mut master, truth, truth + 1);
            for step in 1..=5 {
                let at = truth + (next - truth) * step / 5;
                let after = (instance.counter.at(at), instance.now(at));
                // The mapping from before the exchange held until its end.
                if at >= next {
                    let (counted, passed) = (after.0 - before.0, after.1 - before.1);
                    assert!(passed >= 0 && (passed - counted).abs() <= counted / 2_000 + 2, "{passed} in {counted}");
                    before = after;
                }
            }
            truth = next;
        }
    }

    #[test]
    fn two_with_clocks_minutes_apart_agree_within_a_millisecond(
        seeds: (u64, u64),
        apart in -10 * 60_000_000_i64..10 * 60_000_000,
        drifts in (-100_i64..=100, -100_i64..=100, -100_i64..=100),
    ) {
        let mut master = master(HOUR, drifts.0);
        let mut one = Instance::new(Skewed { ahead: 0, ppm: drifts.1 }, seeds.0, 900);
        let mut two = Instance::new(Skewed { ahead: apart, ppm: drifts.2 }, seeds.1, 900);
        one.run(&mut master, 0, 4_000_000);
        two.run(&mut master, 4_000_000, 5_000_000);
        let mut next = (5_000_000, 5_100_000);
        for round in 1..100 {
            let to = 5_000_000 + round * 300_000;
            next = (one.run(&mut master, next.0, to), two.run(&mut master, next.1, to));
            let at = next.0.max(next.1);
            let between = one.now(at) - two.now(at);
            assert!(between.abs() < 1_000, "{between} us between them");
        }
    }
}

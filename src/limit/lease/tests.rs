//! Leases over a bucket that is a number: how they grow, shrink and end, and what they never exceed.

use super::*;
use proptest::prelude::*;

const TERMS: Terms = Terms {
    most: 20,
    pause: Duration::from_millis(1),
};

fn at(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

fn grant(cells: u32, wait_millis: u64) -> Grant {
    Grant {
        cells,
        wait: Duration::from_millis(wait_millis),
    }
}

#[test]
fn a_lease_is_scaled_by_rate_and_burst() {
    let most = |emission, burst| Terms::of(emission, burst).most;
    assert_eq!(most(Duration::from_millis(5), 1000), 20, "200/s: a tenth of a second");
    assert_eq!(most(Duration::from_micros(10), 1600), 100, "a sixteenth of the bucket");
    assert_eq!(
        most(Duration::from_millis(5), 10),
        1,
        "a small bucket is hoarded by nobody"
    );
    assert_eq!(most(Duration::from_hours(1), 1000), 1, "a slow one neither");
    assert_eq!(Terms::of(Duration::from_nanos(1), 1).pause, Duration::ZERO);
}

#[test]
fn a_lease_doubles_while_it_is_used_up_in_time_and_asks_before_it_is_empty() {
    let mut lease = Lease::default();
    let mut asked = Vec::new();
    for request in 0..200 {
        let now = at(1000 + request);
        match lease.take(now, TERMS) {
            Step::Spent => {}
            Step::Ask(cells) => {
                asked.push((request, cells));
                lease.granted(grant(cells, 0), 1, now, TERMS);
            }
            Step::SpentAndAsk(cells) => {
                asked.push((request, cells));
                lease.granted(grant(cells, 0), 0, now, TERMS);
            }
            Step::Wait(_) => panic!("there is enough"),
        }
    }
    let sizes: Vec<u32> = asked.iter().map(|(_, cells)| *cells).collect();
    assert_eq!(sizes[..6], [1, 2, 4, 8, 16, 20]);
    assert!(asked.len() < 20, "{asked:?}");
}

#[test]
fn what_is_not_used_in_time_is_gone_and_the_next_lease_is_smaller() {
    let mut lease = Lease {
        next: 20,
        ..Lease::default()
    };
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(20));
    lease.granted(grant(20, 0), 1, at(1000), TERMS);
    assert_eq!(lease.take(at(1100), TERMS), Step::Spent);
    assert_eq!(lease.take(at(1499), TERMS), Step::Spent);
    assert_eq!(lease.take(at(1500), TERMS), Step::Ask(3), "three were used");
}

/// One that was granted so many at 1000 ms, one of which the asking request took.
fn leased(cells: u32) -> Lease {
    let mut lease = Lease {
        next: cells,
        ..Lease::default()
    };
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(cells));
    lease.granted(grant(cells, 0), 1, at(1000), TERMS);
    lease
}

#[test]
fn more_is_asked_for_when_half_is_left_and_by_one_request_only() {
    let mut lease = leased(8);
    let steps: Vec<Step> = (0..5).map(|_| lease.take(at(1001), TERMS)).collect();
    let asks = Step::SpentAndAsk(16);
    assert_eq!(steps, [Step::Spent, Step::Spent, asks, Step::Spent, Step::Spent]);
    // A lease of one is used up by its request; what comes back of it asks for nothing.
    let mut one = leased(1);
    one.give_back();
    assert_eq!(one.take(at(1001), TERMS), Step::Spent);
    assert_eq!(one.take(at(1001), TERMS), Step::Ask(2));
}

#[test]
fn who_asks_has_the_life_of_a_lease_to_come_back() {
    let mut lease = Lease {
        next: 8,
        ..Lease::default()
    };
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(8));
    assert_eq!(lease.take(at(1499), TERMS), Step::Ask(1), "the eight are on their way");
    assert_eq!(lease.take(at(1500), TERMS), Step::Ask(8), "they are not");
    lease.refused();
    assert_eq!(lease.take(at(1501), TERMS), Step::Ask(8), "Redis did not answer");
    let low = Lease {
        left: 4,
        next: 8,
        until: at(9000),
        asked_until: at(2000),
        ..Lease::default()
    };
    assert_eq!({ low }.take(at(1999), TERMS), Step::Spent);
    assert_eq!({ low }.take(at(2000), TERMS), Step::SpentAndAsk(16));
}

#[test]
fn a_lease_counts_what_was_used_since_it_came_and_a_single_cell_is_none() {
    let mut lease = leased(8);
    for _ in 0..3 {
        lease.take(at(1000), TERMS);
    }
    lease.granted(grant(16, 0), 0, at(1000), TERMS);
    for _ in 0..2 {
        assert_eq!(lease.take(at(1001), TERMS), Step::Spent);
    }
    assert_eq!(lease.take(at(1500), TERMS), Step::Ask(2), "two of the sixteen");

    let mut lease = leased(8);
    assert_eq!(lease.take(at(1001), TERMS), Step::Spent);
    // Somebody had asked for himself before the eight came.
    lease.granted(grant(1, 0), 1, at(1000), TERMS);
    assert_eq!(lease.take(at(1500), TERMS), Step::Ask(3));
}

#[test]
fn an_empty_bucket_is_not_asked_again_before_it_has_a_cell() {
    let mut lease = Lease::default();
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(1));
    assert_eq!(
        lease.take(at(1000), TERMS),
        Step::Ask(1),
        "nobody waits for the other's answer"
    );
    lease.granted(grant(1, 40), 1, at(1000), TERMS);
    lease.granted(grant(0, 40), 1, at(1000), TERMS);
    assert_eq!(lease.take(at(1010), TERMS), Step::Wait(Duration::from_millis(30)));
    assert!(matches!(lease.take(at(1040), TERMS), Step::Ask(_)));
    lease.refused();
    assert!(
        matches!(lease.take(at(1040), TERMS), Step::Ask(_)),
        "an outage is no answer"
    );
}

#[test]
fn that_a_slow_bucket_is_empty_is_believed_for_a_second() {
    let mut lease = Lease::default();
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(1));
    lease.granted(grant(0, 3_600_000), 1, at(1000), TERMS);
    assert_eq!(
        lease.take(at(1999), TERMS),
        Step::Wait(Duration::from_millis(3_599_001))
    );
    assert_eq!(lease.take(at(2000), TERMS), Step::Ask(1));
}

#[test]
fn a_cell_that_was_given_back_is_spent_first() {
    let mut lease = Lease::default();
    assert_eq!(lease.take(at(1000), TERMS), Step::Ask(1));
    lease.granted(grant(1, 500), 1, at(1000), TERMS);
    lease.give_back();
    assert_eq!(lease.take(at(1001), TERMS), Step::Spent);
    assert!(matches!(lease.take(at(1002), TERMS), Step::Wait(_)));
}

proptest! {
    /// Whatever comes when, and however late answers are: nothing is spent that was not granted, and in no time more than
    /// was granted in it and in two lives before.
    #[test]
    fn no_more_is_spent_than_was_granted(
        steps in prop::collection::vec((0_u64..300, 0_u32..40, 0_usize..3), 1..300)
    ) {
        let (mut lease, mut now) = (Lease::default(), 1000);
        let mut open: Vec<(u64, u32, u32)> = Vec::new();
        let (mut granted, mut spent) = (Vec::new(), Vec::new());
        for (pause, gives, answers) in steps {
            now += pause;
            match lease.take(at(now), TERMS) {
                Step::Spent => spent.push(now),
                Step::SpentAndAsk(cells) => {
                    spent.push(now);
                    open.push((now, cells, 0));
                }
                Step::Ask(cells) => open.push((now, cells, 1)),
                Step::Wait(wait) => prop_assert!(!wait.is_zero()),
            }
            for _ in 0..answers.min(open.len()) {
                let (asked, cells, own) = open.remove(0);
                let cells = gives.min(cells);
                granted.extend((0..cells).map(|_| asked));
                if cells > 0 && own > 0 {
                    spent.push(now);
                }
                lease.granted(grant(cells, u64::from(cells == 0) * 5), own, at(asked), TERMS);
            }
            prop_assert!(spent.len() <= granted.len(), "{} of {}", spent.len(), granted.len());
        }
    }
}

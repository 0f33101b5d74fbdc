//! Limits by source, client and value, under a clock that the test moves.

use super::*;
use crate::{
    event::{TestClock, Timestamp},
    limit::{Rate, Scope, cells::KEYS},
};
use std::sync::{Barrier, atomic::AtomicUsize};

fn limiter(per: Per, count: u32, per_secs: u64, burst: u32) -> (SourceLimiter, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
    let spec = LimitSpec {
        per,
        rate: Rate {
            count,
            per: Duration::from_secs(per_secs),
        },
        burst,
        scope: Scope::Replica,
        unavailable_status: false,
    };
    (SourceLimiter::new(&spec, clock.clone()), clock)
}

fn client(text: &str) -> LimitKey<'static> {
    LimitKey::Client(text.parse().expect(text))
}

#[test]
fn a_source_has_one_bucket_whatever_the_key() {
    let (limiter, clock) = limiter(Per::Source, 2, 1, 3);
    for key in [LimitKey::Source, client("192.0.2.1"), LimitKey::Value(Some(b"x"))] {
        assert_eq!(limiter.check(key, false), Ok(()));
    }
    let over = limiter.check(LimitKey::Source, false).expect_err("three is the burst");
    assert_eq!(over.retry_after(), 1);
    assert_eq!(over.policy(), "\"source\";q=3;w=2");
    assert_eq!(over.state(), "\"source\";r=0;t=1");
    clock.advance(Duration::from_millis(500));
    assert_eq!(limiter.check(LimitKey::Source, false), Ok(()));
    assert!(limiter.check(LimitKey::Source, false).is_err());
}

#[test]
fn a_peek_takes_nothing() {
    for per in [Per::Source, Per::Client] {
        let (limiter, _) = limiter(per, 1, 60, 1);
        // More than its /48 has.
        for _ in 0..=WIDER {
            assert_eq!(limiter.peek(client("2001:db8::1"), false), Ok(()));
        }
        assert_eq!(limiter.check(client("2001:db8::1"), false), Ok(()));
        let over = limiter.peek(client("2001:db8::1"), false).expect_err("spent");
        assert_eq!(over.retry_after(), 60);
        assert_eq!(Err(over), limiter.check(client("2001:db8::1"), false));
    }
}

#[test]
fn clients_count_by_prefix_and_a_48_counts_sixteenfold() {
    let (limiter, _) = limiter(Per::Client, 1, 60, 1);
    assert_eq!(limiter.check(client("192.0.2.1"), false), Ok(()));
    assert!(limiter.check(client("::ffff:192.0.2.1"), false).is_err());
    assert_eq!(limiter.check(client("192.0.2.2"), false), Ok(()));
    for subnet in 0..16 {
        let one = client(&format!("2001:db8:1:{subnet:x}::1"));
        assert_eq!(limiter.check(one, false), Ok(()), "{subnet}");
    }
    let over = limiter.check(client("2001:db8:1:ff::1"), false).expect_err("the 17th");
    assert_eq!(over.policy(), "\"source\";q=16;w=60");
    assert_eq!(limiter.check(client("2001:db8:2::1"), false), Ok(()), "another site");
}

#[test]
fn values_are_told_apart_and_absent_ones_count_together() {
    let (limiter, _) = limiter(Per::Json("/account".to_owned()), 1, 60, 1);
    for value in [Some(&b"acct_1"[..]), Some(b"acct_2"), Some(b""), None] {
        assert_eq!(limiter.check(LimitKey::Value(value), false), Ok(()), "{value:?}");
        assert!(limiter.check(LimitKey::Value(value), false).is_err(), "{value:?}");
    }
}

#[test]
fn a_million_values_stay_bounded_and_the_rest_is_limited_only_under_pressure() {
    let (limiter, clock) = limiter(Per::Header(http::header::FROM), 1, 60, 1);
    for number in 0..200_000_u32 {
        // Whoever finds no room is let through while there is no pressure.
        assert_eq!(
            limiter.check(LimitKey::Value(Some(&number.to_le_bytes())), false),
            Ok(())
        );
    }
    assert!(limiter.tracked() <= KEYS);
    let untracked: Vec<_> = (200_000..200_400_u32)
        .filter(|number| {
            limiter
                .check(LimitKey::Value(Some(&number.to_le_bytes())), true)
                .is_err()
        })
        .collect();
    assert!(untracked.len() > 300, "16 share the bucket: {}", untracked.len());
    // What is tracked is limited as ever, and what is full again makes room.
    assert!((0..1000_u32).any(|number| {
        limiter
            .peek(LimitKey::Value(Some(&number.to_le_bytes())), false)
            .is_err()
    }));
    clock.advance(Duration::from_mins(3));
    assert_eq!(limiter.check(LimitKey::Value(Some(b"new")), true), Ok(()));
    assert_eq!(limiter.tracked(), 1);
}

#[test]
fn buckets_that_are_full_again_are_dropped_once_a_minute() {
    let (limiter, clock) = limiter(Per::Client, 1, 1, 1);
    let pass = |time, address| {
        clock.advance(time);
        assert_eq!(limiter.check(client(address), false), Ok(()));
        limiter.tracked()
    };
    assert_eq!(pass(Duration::ZERO, "192.0.2.1"), 1);
    assert_eq!(pass(Duration::ZERO, "192.0.2.2"), 2);
    assert_eq!(pass(SWEEP.saturating_sub(Duration::from_millis(1)), "192.0.2.3"), 3);
    assert_eq!(
        pass(Duration::from_millis(1), "192.0.2.4"),
        2,
        "the third is not full yet"
    );
}

#[test]
fn settings_without_sense_do_not_panic() {
    for (count, per, burst) in [(0, 0, 0), (1, u64::MAX, u32::MAX), (u32::MAX, 1, u32::MAX)] {
        let (limiter, _) = limiter(Per::Client, count, per, burst);
        assert_eq!(limiter.check(client("2001:db8::1"), true), Ok(()));
    }
}

#[test]
fn two_workers_share_one_bucket() {
    for per in [Per::Source, Per::Client] {
        let (limiter, _) = limiter(per, 1, 3600, 100);
        let (barrier, passed) = (Barrier::new(2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..1000 {
                        if limiter.check(client("192.0.2.1"), false).is_ok() {
                            passed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 100);
    }
}

//! Who is penalized, who never is, and what a million bad prefixes do: nothing.

use super::*;
use crate::limit::Rate;
use proptest::prelude::*;
use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

const SPEC: PenaltySpec = PenaltySpec {
    rate: Rate {
        count: 30,
        per: Duration::from_mins(1),
    },
    burst: 30,
};

fn source(name: &str) -> SourceName {
    SourceName::parse(name).expect("a name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn at(secs: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(secs))
}

fn fail(penalties: &Penalties, client: &str, times: usize) {
    for _ in 0..times {
        penalties.charge(ip(client), &source("acme"), at(0));
    }
}

#[test]
fn the_burst_is_forgiven_and_then_the_client_waits() {
    let penalties = Penalties::new(SPEC);
    let check = |client, name: &str, now| penalties.check(ip(client), &source(name), at(now), false);
    fail(&penalties, "192.0.2.1", 29);
    assert_eq!(check("192.0.2.1", "acme", 0), None);
    fail(&penalties, "192.0.2.1", 1);
    let limited = check("192.0.2.1", "acme", 0).expect("30 were wrong");
    assert_eq!(
        (limited.retry_after(), limited.policy()),
        (2, "\"source\";q=30;w=60".to_owned())
    );
    assert_eq!(check("192.0.2.1", "other", 0), None, "another source");
    assert_eq!(check("192.0.2.2", "acme", 0), None, "another client");
    assert_eq!(check("::ffff:192.0.2.1", "acme", 0), Some(limited), "the same client");
    assert_eq!(check("192.0.2.1", "acme", 2), None, "one is forgiven every two seconds");
}

#[test]
fn failures_beyond_the_burst_do_not_lengthen_the_wait() {
    let penalties = Penalties::new(SPEC);
    fail(&penalties, "192.0.2.1", 10_000);
    let limited = penalties.check(ip("192.0.2.1"), &source("acme"), at(0), false);
    assert_eq!(limited.expect("penalized").retry_after(), 2);
}

#[test]
fn an_ipv6_client_is_its_64_and_a_48_counts_sixteenfold() {
    let penalties = Penalties::new(SPEC);
    let check = |client| penalties.check(ip(client), &source("acme"), at(0), false);
    fail(&penalties, "2001:db8:1:1::1", 30);
    assert!(check("2001:db8:1:1:ffff::1").is_some(), "the same /64");
    assert_eq!(check("2001:db8:1:2::1"), None, "the next /64");
    for subnet in 2..=16 {
        fail(&penalties, &format!("2001:db8:1:{subnet:x}::1"), 30);
    }
    assert!(check("2001:db8:1:ffff::1").is_some(), "the /48 is spent");
    assert_eq!(check("2001:db8:2:1::1"), None, "the next /48");
}

#[test]
fn who_verified_within_a_day_is_never_penalized_at_that_source() {
    let penalties = Penalties::new(SPEC);
    let check = |name: &str, now| penalties.check(ip("2001:db8::1"), &source(name), at(now), true);
    fail(&penalties, "2001:db8::1", 40);
    assert!(check("acme", 0).is_some());
    penalties.pardon(ip("2001:db8::1"), &source("acme"), at(0));
    assert_eq!(check("acme", 0), None, "also what was wrong before");
    fail(&penalties, "2001:db8::1", 1000);
    assert_eq!(check("acme", 0), None);
    for _ in 0..40 {
        penalties.charge(ip("2001:db8::1"), &source("other"), at(0));
    }
    assert!(check("other", 0).is_some(), "another source does not know him");
    let day = 24 * 3600;
    for _ in 0..40 {
        penalties.charge(ip("2001:db8::1"), &source("acme"), at(day));
    }
    assert!(check("acme", day).is_some(), "the day is over");
}

#[test]
fn an_honest_64_in_a_48_of_forgers_and_behind_the_providers_own_addresses_is_let_through() {
    let penalties = Penalties::new(SPEC);
    let check = |client| penalties.check(ip(client), &source("acme"), at(0), true);
    penalties.pardon(ip("2001:db8:1:1::1"), &source("acme"), at(0));
    // Anybody can aim an account of his own at the provider at us: what comes from its addresses costs them nothing.
    fail(&penalties, "2001:db8:1:1::1", 10_000);
    assert_eq!(check("2001:db8:1:ffff::1"), None, "nor their neighbours");
    for subnet in 2..=40 {
        fail(&penalties, &format!("2001:db8:1:{subnet:x}::1"), 30);
    }
    assert!(check("2001:db8:1:ffff::1").is_some(), "the /48 is spent");
    assert_eq!(check("2001:db8:1:1::2"), None, "who verified does not share its fate");
}

#[test]
fn a_pardon_is_renewed() {
    let penalties = Penalties::new(SPEC);
    let (client, acme) = (ip("192.0.2.1"), source("acme"));
    for hour in 0..40 {
        penalties.pardon(client, &acme, at(hour * 3600));
    }
    let later = at(39 * 3600 + 23 * 3600 - 1);
    for _ in 0..40 {
        penalties.charge(client, &acme, later);
    }
    assert_eq!(penalties.check(client, &acme, later, true), None);
}

#[test]
fn a_young_pardon_is_not_written_again() {
    let penalties = Penalties::new(SPEC);
    let (client, acme) = (ip("192.0.2.1"), source("acme"));
    let (hour, day) = (3600, 24 * 3600);
    let tag = penalties.tables.pardons.tag_in(&acme, (&acme, Prefix::of(client)));
    for (now, until) in [(0, day), (hour - 1, day), (hour, day + hour), (day, 2 * day)] {
        penalties.pardon(client, &acme, at(now));
        assert_eq!(
            penalties.tables.pardons.look(tag, at(now)),
            Found::Held(at(until), ()),
            "{now}"
        );
    }
}

#[test]
fn who_verified_is_known_for_a_day_at_that_source() {
    let penalties = Penalties::new(SPEC);
    let knows = |name: &str, now| penalties.knows(ip("192.0.2.1"), &source(name), at(now));
    assert!(!knows("acme", 0));
    penalties.pardon(ip("192.0.2.1"), &source("acme"), at(0));
    assert!(knows("acme", 24 * 3600 - 1));
    assert!(!knows("acme", 24 * 3600) && !knows("other", 0));
}

#[test]
fn only_who_is_not_tracked_counts_among_the_untracked() {
    let small = Tables {
        verified_anyway: Table::new(1),
        failures: Table::new(1),
        untracked: Table::new(SHARED),
        pardons: Table::new(1),
    };
    let penalties = Penalties {
        tables: Arc::new(small),
        ..Penalties::new(SPEC)
    };
    let acme = source("acme");
    let untracked = |now| penalties.tables.untracked.look(penalties.shared(&acme), now);
    let at = |millis| Monotonic::from_start(Duration::from_millis(millis));
    let client = ip("2001:db8::1");
    for _ in 0..100 {
        penalties.charge(client, &acme, at(0));
    }
    assert_eq!(untracked(at(0)), Found::Free, "there was a place for it");
    // Half a minute later its own bucket is not full again, that of its /48 is: others take that place, and all the rest.
    for number in 0..10_000_u32 {
        penalties.charge(Ipv4Addr::from(0x0100_0000 + number).into(), &acme, at(30_000));
    }
    let flooded = untracked(at(30_000));
    assert!(matches!(flooded, Found::Held(..)));
    penalties.charge(client, &acme, at(31_000));
    assert_ne!(untracked(at(31_000)), flooded, "its /48 finds no place");
}

#[test]
fn a_reload_keeps_who_failed_and_who_is_known() {
    let penalties = Penalties::new(SPEC);
    fail(&penalties, "192.0.2.1", 40);
    fail(&penalties, "192.0.2.2", 40);
    penalties.pardon(ip("192.0.2.2"), &source("acme"), at(0));
    let retuned = penalties.retuned(PenaltySpec { burst: 20, ..SPEC });
    assert!(retuned.check(ip("192.0.2.1"), &source("acme"), at(0), false).is_some());
    assert_eq!(retuned.check(ip("192.0.2.2"), &source("acme"), at(0), false), None);
}

#[test]
fn a_million_bad_prefixes_neither_grow_the_memory_nor_hurt_the_honest() {
    let penalties = Penalties::new(SPEC);
    let acme = source("acme");
    let known = ip("198.51.100.7");
    penalties.pardon(known, &acme, at(0));
    for number in 0..1_000_000_u32 {
        penalties.charge(Ipv4Addr::from(0x0100_0000 + number).into(), &acme, at(0));
    }
    assert_eq!(penalties.tables.failures.allocated(), PLACES);
    assert!(penalties.tables.pardons.allocated() <= PLACES);
    assert!(penalties.tables.untracked.allocated() <= 64 * 8);
    for pressure in [false, true] {
        assert_eq!(penalties.check(known, &acme, at(0), pressure), None, "who is known");
    }
    let newcomers = |pressure| {
        let is_penalized = |number: &u32| {
            let client = Ipv4Addr::from(0xc000_0000 + number).into();
            penalties.check(client, &acme, at(0), pressure).is_some()
        };
        (0..1000_u32).filter(is_penalized).count()
    };
    assert_eq!(newcomers(false), 0, "without pressure nobody pays for others");
    assert!(
        newcomers(true) > 900,
        "under pressure those without a place share a bucket"
    );
    let other = source("other");
    assert_eq!(
        penalties.check(ip("192.0.2.1"), &other, at(0), true),
        None,
        "another source feels nothing"
    );
    // One failure each is forgiven in two seconds, the shared bucket in a minute.
    assert_eq!(penalties.check(ip("192.0.2.1"), &acme, at(61), true), None);
}

#[test]
fn two_workers_count_together() {
    let penalties = Penalties::new(SPEC);
    let (barrier, checked) = (Barrier::new(2), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..15 {
                    if penalties
                        .check(ip("192.0.2.1"), &source("acme"), at(0), false)
                        .is_none()
                    {
                        checked.fetch_add(1, Ordering::SeqCst);
                    }
                    penalties.charge(ip("192.0.2.1"), &source("acme"), at(0));
                }
            });
        }
    });
    assert_eq!(
        checked.load(Ordering::SeqCst),
        30,
        "none of the first thirty is refused"
    );
    assert!(
        penalties
            .check(ip("192.0.2.1"), &source("acme"), at(0), false)
            .is_some()
    );
}

proptest! {
    #[test]
    fn whoever_fails_less_than_his_burst_is_never_penalized(
        attackers in prop::collection::vec((any::<u128>(), 1_usize..60), 1..80),
        honest in any::<u128>(),
        failures in 0_usize..30,
        pressure in any::<bool>(),
    ) {
        let penalties = Penalties::new(SPEC);
        let acme = source("acme");
        let site = |address: u128| address >> 80;
        let mut sites = HashSet::new();
        for (address, times) in attackers {
            // One attacker a /48, none in the honest client's.
            if site(address) != site(honest) && sites.insert(site(address)) {
                for _ in 0..times {
                    penalties.charge(Ipv6Addr::from(address).into(), &acme, at(0));
                }
            }
        }
        let client = Ipv6Addr::from(honest).into();
        for _ in 0..failures {
            penalties.charge(client, &acme, at(0));
        }
        prop_assert_eq!(penalties.check(client, &acme, at(0), pressure), None);
    }
}

#[test]
fn the_clients_of_one_source_take_no_exemption_from_those_of_another() {
    let penalties = Penalties::new(SPEC);
    let (crowded, quiet) = (source("crowded"), source("quiet"));
    let honest = |number: u32| IpAddr::V4(Ipv4Addr::from(0xc000_0200 + number));
    for number in 0..256 {
        penalties.pardon(honest(number), &quiet, at(0));
    }
    for number in 0..400_000_u32 {
        penalties.pardon(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)), &crowded, at(60));
    }
    let kept = |source: &SourceName, first: u32, count: u32| {
        let clients = (0..count).map(|number| IpAddr::V4(Ipv4Addr::from(first + number)));
        clients
            .filter(|client| penalties.knows(*client, source, at(60)))
            .count()
    };
    assert_eq!(kept(&quiet, 0xc000_0200, 256), 256);
    let others = kept(&crowded, 0x0a00_0000, 400_000);
    assert!((60_000..=PLACES).contains(&others), "what is free is theirs: {others}");
}

#[test]
fn a_penalized_client_is_verified_once_a_second_and_all_together_not_without_end() {
    let penalties = Penalties::new(SPEC);
    let may = |client: &str, millis| {
        let now = Monotonic::from_start(Duration::from_millis(millis));
        penalties.may_verify_anyway(ip(client), &source("acme"), now)
    };
    fail(&penalties, "192.0.2.1", 30);
    assert!(
        !may("192.0.2.1", 0) && !may("192.0.2.1", 999),
        "its last one was verified at 0"
    );
    assert!(may("192.0.2.1", 1000) && !may("192.0.2.1", 1001));
    assert!(may("192.0.2.1", 2000));
    let crowd = (0..100_000_u32).map(|number| Ipv4Addr::from(0x0a00_0000 + number).to_string());
    let verified = crowd.filter(|client| may(client, 5000)).count();
    assert!((8000..=VERIFIED_ANYWAY_PLACES).contains(&verified), "{verified}");
    assert!(may("192.0.2.7", 6000), "a second later there are places again");
}

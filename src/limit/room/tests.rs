//! Who gets room: everybody while there is some, and a fair share where it is short.

use super::*;
use proptest::prelude::*;

const BOUND: u64 = 64;

fn ip(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

fn grow(room: &mut Room, more: u64) -> Result<(), Crowded> {
    room.grow(more, || false)
}

/// A verified body of some other source.
fn occupied(rooms: &Rooms, bytes: u64) -> Room {
    let mut room = rooms.open(&SourceBytes::default(), None);
    assert_eq!(grow(&mut room, bytes), Ok(()));
    room.proven();
    room
}

#[test]
fn while_others_hold_at_most_half_one_body_may_have_all_the_rest() {
    let rooms = Rooms::new(BOUND);
    let source = SourceBytes::default();
    let mut alone = rooms.open(&source, Some(ip(1)));
    for _ in 0..BOUND {
        assert_eq!(grow(&mut alone, 1), Ok(()));
    }
    assert_eq!(grow(&mut alone, 1), Err(Crowded::All));
    drop(alone);
    let _half = occupied(&rooms, 32);
    assert!(!rooms.under_pressure());
    let mut large = rooms.open(&source, Some(ip(1)));
    assert_eq!(grow(&mut large, 32), Ok(()));
    assert_eq!(rooms.used(), BOUND);
    assert!(rooms.under_pressure());
}

#[test]
fn under_pressure_unproven_bodies_hold_half_at_most() {
    let rooms = Rooms::new(BOUND);
    let source = |_| SourceBytes::default();
    // Of as many sources and clients as there are bodies, 8 bytes each.
    let mut readers: Vec<Room> = (0..8).map(|n| rooms.open(&source(n), Some(ip(n)))).collect();
    let granted = readers.iter_mut().map(|room| grow(room, 8));
    let refused: Vec<_> = granted.filter_map(Result::err).collect();
    assert_eq!(refused, [Crowded::Unproven; 3], "the fifth made it more than half");
    // What is proven makes room for others to be read.
    readers[0].proven();
    readers[1].proven();
    assert_eq!(grow(&mut readers[6], 8), Ok(()));
}

#[test]
fn to_the_byte_half_is_not_more_than_half() {
    let rooms = Rooms::new(BOUND);
    let _proven = occupied(&rooms, 10);
    let mut first = rooms.open(&SourceBytes::default(), None);
    assert_eq!(grow(&mut first, 23), Ok(()));
    // Others hold 33 of 64 now, and 23 of them are unproven.
    let mut second = rooms.open(&SourceBytes::default(), None);
    assert_eq!(grow(&mut second, 9), Ok(()));
    assert_eq!(grow(&mut second, 1), Err(Crowded::Unproven));
    drop((first, second));
    // The same of a source: 20 and 12 are half.
    let source = SourceBytes::default();
    let mut proven = rooms.open(&source, None);
    assert_eq!(grow(&mut proven, 20), Ok(()));
    proven.proven();
    let _more = occupied(&rooms, 10);
    let mut third = rooms.open(&source, None);
    assert_eq!(grow(&mut third, 12), Ok(()));
    assert_eq!(grow(&mut third, 1), Err(Crowded::Source));
}

#[test]
fn two_large_forgeries_do_not_lock_a_short_body_out() {
    let rooms = Rooms::new(BOUND);
    let forged = |client, bytes| {
        let mut room = rooms.open(&SourceBytes::default(), Some(ip(client)));
        let mut got = 0;
        while got < bytes && grow(&mut room, 1).is_ok() {
            got += 1;
        }
        (room, got)
    };
    let (first, second) = (forged(1, 31), forged(2, 31));
    assert_eq!((first.1, second.1), (31, 29), "a sixteenth stays free");
    assert_eq!(forged(3, 31).1, 1, "what is short");
    let mut short = rooms.open(&SourceBytes::default(), Some(ip(1)));
    assert_eq!(grow(&mut short, 1), Ok(()), "whoever it is from");
    assert_eq!(grow(&mut short, 1), Err(Crowded::Unproven), "it is not short any more");
}

#[test]
fn under_pressure_one_source_holds_half_at_most_and_others_go_on() {
    let rooms = Rooms::new(BOUND);
    let (loud, quiet) = (SourceBytes::default(), SourceBytes::default());
    let mut held = Vec::new();
    let mut refused = None;
    for n in 0..8 {
        let mut room = rooms.open(&loud, Some(ip(n)));
        match grow(&mut room, 8) {
            Ok(()) => room.proven(),
            Err(crowded) => refused = Some(crowded),
        }
        held.push(room);
    }
    assert_eq!((refused, rooms.used()), (Some(Crowded::Source), 40));
    let mut other = rooms.open(&quiet, Some(ip(9)));
    assert_eq!(grow(&mut other, 8), Ok(()));
}

#[test]
fn under_pressure_one_client_holds_an_eighth_unless_it_is_known_or_may_be_many() {
    let rooms = Rooms::new(BOUND);
    let source = SourceBytes::default();
    let _busy = occupied(&rooms, 33);
    let mut first = rooms.open(&source, Some(ip(1)));
    let mut second = rooms.open(&source, Some(ip(1)));
    assert_eq!(grow(&mut first, 5), Ok(()));
    assert_eq!(grow(&mut second, 4), Err(Crowded::Client));
    assert_eq!(grow(&mut second, 3), Ok(()));
    assert_eq!(grow(&mut rooms.open(&source, Some(ip(2))), 8), Ok(()), "another client");
    assert_eq!(second.grow(4, || true), Ok(()), "it verified lately");
    let mut balancer = rooms.open(&source, None);
    assert_eq!(grow(&mut balancer, 12), Ok(()), "its address stands for many");
    drop((first, second, balancer));
    assert_eq!(grow(&mut rooms.open(&source, Some(ip(1))), 8), Ok(()), "given back");
    assert!(
        rooms
            .0
            .clients
            .iter()
            .all(|shard| shard.lock().expect("no panic").is_empty())
    );
}

proptest! {
    /// Whatever is opened, grown, proven and dropped in whatever order: the sums are those of what is open.
    #[test]
    fn everything_is_given_back(
        steps in prop::collection::vec((0_usize..6, 0_u64..12, 0_u8..4), 1..120)
    ) {
        let rooms = Rooms::new(BOUND);
        let sources = [SourceBytes::default(), SourceBytes::default()];
        let mut open: Vec<Option<Room>> = (0..6).map(|_| None).collect();
        for (at, more, what) in steps {
            match (&mut open[at], what) {
                (Some(room), 0 | 1) => {
                    let before = room.size;
                    let grown = room.unproven && room.grow(more, || false).is_ok();
                    prop_assert_eq!(room.size, if grown { before + more } else { before });
                }
                (Some(room), 2) => room.proven(),
                (place, _) => *place = match place.take() {
                    Some(_) => None,
                    None => Some(rooms.open(&sources[at % 2], Some(ip(u8::try_from(at % 3).expect("small"))))),
                },
            }
            let held = || open.iter().flatten();
            let sum: u64 = held().map(|room| room.size).sum();
            prop_assert!(rooms.used() == sum && sum <= BOUND);
            let unproven: u64 = held().filter(|room| room.unproven).map(|room| room.size).sum();
            prop_assert_eq!(rooms.0.unproven.load(Relaxed), unproven);
            let by_client: u64 = rooms.0.clients.iter().map(|shard| shard.lock().expect("no panic").values().sum::<u64>()).sum();
            prop_assert_eq!(by_client, unproven);
            let by_source: u64 = sources.iter().map(|source| source.0.load(Relaxed)).sum();
            prop_assert_eq!(by_source, sum);
        }
    }
}

#[test]
fn long_answers_have_half_of_the_room_and_leave_the_rest_to_requests() {
    let rooms = Rooms::new(100);
    let mut first = rooms.answer();
    assert!(first.grow(40));
    let mut second = rooms.answer();
    assert!(!second.grow(11), "over half");
    drop(second);
    let mut request = rooms.open(&SourceBytes::default(), None);
    request.grow(60, || true).expect("the rest");
    let mut third = rooms.answer();
    assert!(!third.grow(1), "requests hold the rest");
    drop(third);
    drop(request);
    assert_eq!(rooms.used(), 40);
    drop(first);
    assert_eq!(rooms.used(), 0);
    assert!(rooms.answer().grow(50));
}

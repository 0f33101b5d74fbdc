//! The ledger's protocol, checked in every order of events: one delivery, several replicas, one Redis that may fail over
//! to a replica that has not heard of everything.
//!
//! The model keeps what `src/replay` promises (a lease, a fence, success absorbing, the same question twice is one) and
//! leaves the rest out: time is "the lease is over", and an outage's local ledger is not modelled (it is a second record
//! of the same kind, which the fault tests check on a real server). The designs that look right and are not stay here as
//! tests that must fail: if one of them passes, the model has lost its teeth.

#[path = "support/ledger_world.rs"]
mod ledger_world;

use ledger_world::{Check, Design, Faults};
use stateright::{Checker, Model};

/// The invariants that a design breaks, by their number, and how many states were looked at.
fn explore(design: Design, sidecars: usize, sends: u8, faults: Faults) -> (Vec<&'static str>, usize) {
    let check = Check {
        design,
        sidecars,
        sends,
        faults,
    };
    let checker = check.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    let mut broken = Vec::new();
    for (name, path) in checker.discoveries() {
        if name.starts_with('I') {
            println!("{design:?} breaks {name}: {:?}", path.into_actions());
            broken.push(name.split(' ').next().expect("a name has a first word"));
        }
    }
    broken.sort_unstable();
    println!("{design:?}, {sidecars} sidecars, {sends} sends, {faults:?}: {states} states, breaks {broken:?}");
    (broken, states)
}

fn holds(worlds: &[(usize, u8, Faults)]) -> usize {
    let explored = worlds.iter().map(|&(sidecars, sends, faults)| {
        let (broken, states) = explore(Design::Ledger, sidecars, sends, faults);
        assert!(broken.is_empty(), "{broken:?}");
        states
    });
    explored.sum()
}

#[test]
fn the_ledger_keeps_every_invariant() {
    let states = holds(&[
        (3, 4, Faults::default()),
        (
            3,
            3,
            Faults {
                crashes: 1,
                ..Faults::default()
            },
        ),
        (
            3,
            3,
            Faults {
                lost_answers: 2,
                ..Faults::default()
            },
        ),
        (
            3,
            3,
            Faults {
                early_expiries: 1,
                failovers: 1,
                ..Faults::default()
            },
        ),
        (2, 3, Faults::all(1)),
    ]);
    assert!(states > 200_000, "the model has become small: {states} states");
}

#[test]
#[ignore = "seven million states: a minute"]
fn the_ledger_keeps_every_invariant_with_three_sidecars_and_every_fault() {
    let states = holds(&[(3, 4, Faults::all(1))]);
    assert!(states > 5_000_000, "the model has become small: {states} states");
}

#[test]
fn set_then_forward_loses_a_delivery_without_any_fault() {
    let (broken, _) = explore(Design::SetThenForward, 2, 2, Faults::default());
    assert!(broken.contains(&"I2"), "{broken:?}");
}

#[test]
fn forward_then_set_delivers_twice_without_any_fault() {
    let (broken, _) = explore(Design::ForwardThenSet, 2, 2, Faults::default());
    assert!(broken.contains(&"I3") && broken.contains(&"I4"), "{broken:?}");
}

#[test]
fn a_fenced_success_forgets_what_was_delivered() {
    assert!(explore(Design::FencedSuccess, 2, 3, Faults::default()).0.is_empty());
    let pause = Faults {
        early_expiries: 1,
        ..Faults::default()
    };
    let (broken, _) = explore(Design::FencedSuccess, 2, 3, pause);
    assert!(broken.contains(&"I6"), "{broken:?}");
}

#[test]
fn a_fence_without_a_clock_does_not_outlive_a_failover() {
    assert!(
        explore(
            Design::CountedFence,
            2,
            3,
            Faults {
                crashes: 1,
                ..Faults::default()
            }
        )
        .0
        .is_empty()
    );
    let (broken, _) = explore(
        Design::CountedFence,
        2,
        3,
        Faults {
            failovers: 1,
            ..Faults::default()
        },
    );
    assert!(broken.contains(&"I7"), "{broken:?}");
}

#[test]
fn a_new_name_for_the_same_question_blocks_itself() {
    let (broken, _) = explore(
        Design::NewNameEachTime,
        2,
        2,
        Faults {
            lost_answers: 1,
            ..Faults::default()
        },
    );
    assert!(broken.contains(&"I12"), "{broken:?}");
}

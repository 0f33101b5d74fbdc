//! The ledger's protocol, checked in every order of events: one delivery for one or two destinations, several replicas,
//! one Redis that may fail over to a replica that has not heard of everything, be out, and lose answers.
//!
//! The model keeps what `src/replay` promises (a lease, a fence, success absorbing, the same question twice is one, who
//! cannot ask Redis decides alone and tells it later) and leaves the rest out: time is "the lease is over". The designs
//! that look right and are not stay here as tests that must fail: if one of them passes, the model has lost its teeth.

#[path = "support/ledger_world.rs"]
mod ledger_world;

use ledger_world::{Check, Design, Faults};
use stateright::{Checker, Model};

/// Two replicas, one destination, two attempts, and nothing happens.
const CALM: Check = Check {
    design: Design::Ledger,
    sidecars: 2,
    destinations: 1,
    sends: 2,
    forgets: 0,
    releases: 0,
    faults: NONE,
};
const NONE: Faults = Faults {
    crashes: 0,
    early_expiries: 0,
    failovers: 0,
    lost_answers: 0,
    outages: 0,
};

/// The invariants that a design breaks, by their number, and how many states were looked at.
fn explore(check: Check) -> (Vec<&'static str>, usize) {
    let world = format!(
        "{:?}, {} sidecars, {} destinations, {} sends, {} forgets, {} releases, {:?}",
        check.design, check.sidecars, check.destinations, check.sends, check.forgets, check.releases, check.faults
    );
    let checker = check.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    let mut broken = Vec::new();
    for (name, path) in checker.discoveries() {
        if name.starts_with('I') {
            println!("{name}: {:?}", path.into_actions());
            broken.push(name.split(' ').next().expect("a name has a first word"));
        }
    }
    broken.sort_unstable();
    println!("{world}: {states} states, breaks {broken:?}");
    (broken, states)
}

fn holds(worlds: impl IntoIterator<Item = Check>) -> usize {
    let explored = worlds.into_iter().map(|check| {
        let (broken, states) = explore(check);
        assert!(broken.is_empty(), "{broken:?}");
        states
    });
    explored.sum()
}

/// In this world the design breaks the invariant, and ours does not.
fn breaks(design: Design, invariant: &str, world: Check) {
    let (broken, _) = explore(Check { design, ..world });
    assert!(broken.contains(&invariant), "{broken:?}");
    holds([world]);
}

#[test]
fn the_ledger_keeps_every_invariant() {
    let fan_out = Check {
        destinations: 2,
        sends: 3,
        ..CALM
    };
    let of = |faults| Check { faults, ..fan_out };
    let states = holds([
        // Nothing happens but a limit that gives a claim back and an operator who wants it once more.
        Check {
            sidecars: 3,
            sends: 4,
            releases: 1,
            forgets: 1,
            ..fan_out
        },
        of(Faults { crashes: 2, ..NONE }),
        of(Faults {
            lost_answers: 2,
            ..NONE
        }),
        of(Faults {
            outages: 1,
            crashes: 1,
            ..NONE
        }),
        of(Faults {
            early_expiries: 1,
            failovers: 1,
            ..NONE
        }),
        Check {
            forgets: 1,
            releases: 1,
            ..of(Faults { outages: 1, ..NONE })
        },
        Check {
            sends: 3,
            faults: Faults {
                outages: 0,
                ..Faults::all(1)
            },
            ..CALM
        },
    ]);
    println!("{states} states in all");
    assert!(states > 1_000_000, "the model has become small: {states} states");
}

#[test]
#[ignore = "tens of millions of states: minutes, and gigabytes"]
fn the_ledger_keeps_every_invariant_in_larger_worlds() {
    let states = holds([
        Check {
            sidecars: 3,
            sends: 4,
            faults: Faults {
                outages: 0,
                ..Faults::all(1)
            },
            ..CALM
        },
        Check {
            sends: 3,
            faults: Faults::all(1),
            ..CALM
        },
        Check {
            destinations: 2,
            sends: 3,
            faults: Faults {
                outages: 2,
                crashes: 1,
                ..NONE
            },
            ..CALM
        },
    ]);
    assert!(states > 5_000_000, "the model has become small: {states} states");
}

#[test]
fn set_then_forward_loses_a_delivery_without_any_fault() {
    breaks(Design::SetThenForward, "I2", CALM);
}

#[test]
fn forward_then_set_delivers_twice_without_any_fault() {
    breaks(Design::ForwardThenSet, "I3", CALM);
    breaks(Design::ForwardThenSet, "I4", CALM);
}

#[test]
fn a_fenced_success_forgets_what_was_delivered() {
    let world = Check { sends: 3, ..CALM };
    let (broken, _) = explore(Check {
        design: Design::FencedSuccess,
        ..world
    });
    assert!(broken.is_empty(), "without a pause it does well: {broken:?}");
    let faults = Faults {
        early_expiries: 1,
        ..NONE
    };
    breaks(Design::FencedSuccess, "I9", Check { faults, ..world });
}

#[test]
fn a_fence_without_a_clock_does_not_outlive_a_failover() {
    let world = Check { sends: 3, ..CALM };
    let faults = Faults { crashes: 1, ..NONE };
    let (broken, _) = explore(Check {
        design: Design::CountedFence,
        faults,
        ..world
    });
    assert!(broken.is_empty(), "a crash it outlives: {broken:?}");
    let faults = Faults { failovers: 1, ..NONE };
    breaks(Design::CountedFence, "I7", Check { faults, ..world });
}

#[test]
fn a_new_name_for_the_same_question_blocks_itself() {
    let faults = Faults {
        lost_answers: 1,
        ..NONE
    };
    breaks(Design::NewNameEachTime, "I12", Check { faults, ..CALM });
}

#[test]
fn a_release_of_anybody_takes_the_claim_of_another() {
    // Its answer is lost, its lease runs out, another claims, and then Redis is told to release.
    let faults = Faults {
        lost_answers: 1,
        ..NONE
    };
    breaks(Design::ReleaseOfAnybody, "I8", Check { faults, ..CALM });
}

#[test]
fn a_failure_that_forgets_who_had_it_sends_it_to_them_again() {
    let world = Check {
        destinations: 2,
        ..CALM
    };
    breaks(Design::FailureForgetsSuccesses, "I9", world);
    breaks(Design::FailureForgetsSuccesses, "I3", world);
}

#[test]
fn a_settlement_that_requires_nothing_may_not_deliver() {
    let world = Check {
        destinations: 2,
        ..CALM
    };
    breaks(Design::NothingRequiredIsDone, "I1", world);
}

#[test]
fn what_was_done_alone_must_be_told_afterwards() {
    let faults = Faults { outages: 1, ..NONE };
    breaks(Design::NothingWrittenBack, "I6", Check { faults, ..CALM });
}

/// This one was ours, until the model found it.
#[test]
fn half_a_success_that_is_written_back_does_not_end_the_attempt() {
    let world = Check {
        destinations: 2,
        sends: 3,
        faults: Faults { outages: 1, ..NONE },
        ..CALM
    };
    breaks(Design::WriteBackEndsTheAttempt, "I4", world);
}

//! What every ledger must do, whatever keeps its records: one suite, run against each.

use hookward::{
    event::{
        DeliveryKey, DestinationName, EventName, Glob, IdDigest, MacDigest, Nonce, SourceName, Timestamp, Values,
        Variant,
    },
    replay::{
        Ask, Forgotten, Grant, Lately, Ledger, Renewal, Renewed, Seen, Settled, Settlement, SourceTag, Standing,
        Succeeded, Verdict,
    },
};
use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A ledger under test, and how time passes for it.
pub trait Stage {
    type Ledger: Ledger;
    fn ledger(&self) -> &Self::Ledger;
    /// Lets so much time pass for the ledger.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Long enough not to run out by itself.
const LONG: Duration = Duration::from_mins(1);
/// Short enough to let it run out.
const SHORT: Duration = Duration::from_millis(120);
const OVER: Duration = Duration::from_millis(150);
/// How long something counts as new where nothing between two steps may take as long, and when it does not any more.
const RECENT: Duration = Duration::from_millis(1500);
const PAST: Duration = Duration::from_millis(1600);
/// After this a wish to forget is no part of one before it.
const LONG_AGO: Duration = Duration::from_millis(300);

/// Runs the whole suite; returns how many cases that were.
pub async fn run(stage: &impl Stage) -> usize {
    let mut cases = 0;
    macro_rules! cases {
        ($($case:ident),+ $(,)?) => { $( $case(stage).await; cases += 1; )+ };
    }
    cases!(
        the_first_attempt_is_granted_and_the_second_waits,
        asking_again_is_the_same_question,
        a_failed_attempt_frees_the_delivery_for_the_next,
        a_delivered_one_is_told_from_a_replay_by_its_signature_and_id,
        nothing_is_judged_before_it_is_delivered,
        a_lease_that_is_over_lets_the_next_attempt_through,
        a_late_success_counts_whoever_holds_the_delivery,
        a_late_failure_frees_nothing,
        a_release_gives_the_attempt_number_back,
        a_release_takes_no_success_back,
        fences_grow_even_if_the_clock_steps_back,
        only_the_owner_releases,
        without_required_destinations_nothing_is_ever_delivered,
        a_fan_out_remembers_who_has_had_it,
        a_note_does_not_end_the_attempt,
        a_lost_record_is_made_anew_by_its_settlement,
        settling_twice_is_settling_once,
        a_delivered_record_ends_with_its_keep,
        an_unfinished_record_ends_with_its_open_time,
        a_half_delivered_record_lives_as_long_as_a_delivered_one,
        a_renewed_lease_runs_anew,
        only_the_holder_renews,
        a_forgotten_delivery_is_let_through_once,
        forgetting_has_a_window,
        what_is_in_flight_or_not_delivered_is_not_forgotten,
        what_was_delivered_lately_is_let_through_once,
        what_was_delivered_lately_is_found_by_event,
        other_sources_and_namespaces_are_not_let_through,
        of_many_attempts_at_once_one_is_granted,
        who_asks_again_late_is_judged_as_anybody,
        a_record_outlives_its_lease,
        the_delivered_one_is_the_first_that_was,
        two_halves_of_two_attempts_are_a_whole,
        a_forgotten_delivery_that_fails_is_open_like_any_other,
        a_settlement_in_a_forgotten_window_delivers_nothing_new,
        only_the_last_word_frees,
        a_wide_fan_out_is_remembered_whole,
        of_many_reports_at_once_all_count,
        values_that_came_before_the_delivery_are_pending,
        a_pending_attempt_outlives_the_failure_and_the_release_of_another,
        a_record_remembers_the_last_repeats_and_removes_the_records_of_the_others,
        a_forgotten_delivery_is_marked_until_it_is_delivered,
        a_repeat_is_not_let_through_in_place_of_its_first_delivery,
    );
    cases
}

/// An attempt for a fresh delivery, or the next attempt of the same one.
#[derive(Clone)]
struct Attempt(Ask);

impl Attempt {
    fn new() -> Self {
        Self(Ask {
            key: key(),
            owner: nonce(),
            lease: LONG,
            open: LONG,
            keep: LONG,
            source: SourceTag::of(&SourceName::parse("acme").expect("a name")),
            event: None,
            values: Values::of_id(IdDigest::of(b"id 1")),
            mac: Some(MacDigest::of(b"mac 1")),
        })
    }

    fn again(&self) -> Self {
        Self(Ask {
            owner: nonce(),
            ..self.0.clone()
        })
    }

    fn of(self, source: &SourceTag) -> Self {
        self.with(|ask| ask.source = source.clone())
    }

    fn with(mut self, change: impl FnOnce(&mut Ask)) -> Self {
        change(&mut self.0);
        self
    }

    async fn ask(&self, stage: &impl Stage) -> Verdict {
        stage.ledger().claim(&self.0).await.expect("the ledger answers")
    }

    async fn claim(&self, stage: &impl Stage) -> Grant {
        match self.ask(stage).await {
            Verdict::Claimed(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    async fn settle(&self, stage: &impl Stage, grant: &Grant, required: &[&str], delivered: &[&str]) -> Settled {
        self.report(stage, grant, required, delivered, true).await
    }

    async fn report(
        &self,
        stage: &impl Stage,
        grant: &Grant,
        required: &[&str],
        delivered: &[&str],
        last: bool,
    ) -> Settled {
        let settlement = self.settlement(grant, required, delivered, last);
        stage.ledger().settle(&settlement).await.expect("the ledger answers")
    }

    fn settlement(&self, grant: &Grant, required: &[&str], delivered: &[&str], last: bool) -> Settlement {
        let ask = &self.0;
        Settlement {
            key: ask.key,
            source: ask.source.clone(),
            fence: grant.fence,
            attempt: grant.attempt,
            keep: ask.keep,
            open: ask.open,
            required: names(required),
            delivered: names(delivered),
            last,
            succeeded: Succeeded::AfterClaim(Duration::ZERO),
            event: ask.event.clone(),
            values: ask.values,
            mac: ask.mac,
        }
    }

    async fn release(&self, stage: &impl Stage) {
        stage
            .ledger()
            .release(&self.0.source, &self.0.key, &self.0.owner)
            .await
            .expect("the ledger answers");
    }

    async fn renew(&self, stage: &impl Stage, grant: &Grant) -> Renewed {
        let Ask {
            key,
            lease,
            open,
            ref source,
            ..
        } = self.0;
        let renewal = Renewal {
            key,
            source: source.clone(),
            fence: grant.fence,
            lease,
            open,
        };
        stage.ledger().renew(&renewal).await.expect("the ledger answers")
    }

    async fn forget(&self, stage: &impl Stage, window: Duration) -> Forgotten {
        stage
            .ledger()
            .forget(&self.0.source, &self.0.key, window)
            .await
            .expect("the ledger answers")
    }

    /// A delivered one.
    async fn delivered(&self, stage: &impl Stage) -> Grant {
        let grant = self.claim(stage).await;
        assert_eq!(self.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
        grant
    }
}

async fn the_first_attempt_is_granted_and_the_second_waits(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    assert_eq!((grant.attempt, &grant.delivered[..]), (1, &[][..]));
    match first.again().ask(stage).await {
        Verdict::Busy { left } => assert!(left > LONG / 2 && left <= LONG, "{left:?}"),
        other => panic!("{other:?}"),
    }
}

async fn asking_again_is_the_same_question(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    assert_eq!(first.claim(stage).await, grant);
    assert_eq!(first.claim(stage).await, grant);
    first.settle(stage, &grant, &["a"], &[]).await;
    assert_eq!(first.again().claim(stage).await.attempt, 2);
}

async fn a_failed_attempt_frees_the_delivery_for_the_next(stage: &impl Stage) {
    let mut attempt = Attempt::new();
    let mut fence = 0;
    for number in 1..=5 {
        let grant = attempt.claim(stage).await;
        assert_eq!(grant.attempt, number);
        assert!(grant.fence > fence, "{} after {fence}", grant.fence);
        fence = grant.fence;
        assert_eq!(attempt.settle(stage, &grant, &["a"], &[]).await, Settled::Open);
        attempt = attempt.again();
    }
}

async fn a_delivered_one_is_told_from_a_replay_by_its_signature_and_id(stage: &impl Stage) {
    let (id, mac) = (
        |text: &str| Values::of_id(IdDigest::of(text.as_bytes())),
        |text: &str| Some(MacDigest::of(text.as_bytes())),
    );
    let none = Values::default();
    for (had, asked, same, same_mac) in [
        ((id("1"), mac("1")), (id("1"), mac("1")), true, true),
        ((id("1"), mac("1")), (id("2"), mac("1")), false, true),
        ((id("1"), mac("1")), (id("1"), mac("2")), true, false),
        ((id("1"), mac("1")), (none, None), false, false),
        ((none, None), (id("1"), mac("1")), false, false),
        ((none, None), (none, None), true, false),
    ] {
        let first = Attempt::new().with(|ask| (ask.values, ask.mac) = had);
        first.delivered(stage).await;
        let seen = Seen {
            same_mac,
            standing: if same { Standing::Same } else { Standing::New },
            values: had.0,
            repeats: 0,
            attempts: 1,
        };
        for _ in 0..2 {
            let verdict = first.again().with(|ask| (ask.values, ask.mac) = asked).ask(stage).await;
            assert_eq!(verdict, Verdict::Done(seen));
        }
        // Its own attempt, asking again, is no exception.
        let own = first.ask(stage).await;
        assert!(matches!(own, Verdict::Done(_)), "{own:?}");
    }
    let second = Attempt::new();
    let grant = second.claim(stage).await;
    second.settle(stage, &grant, &["a"], &[]).await;
    let third = second.again().with(|ask| ask.mac = Some(MacDigest::of(b"mac 2")));
    third.delivered(stage).await;
    // The signature that counts is that of the attempt that was delivered.
    let verdict = second.again().ask(stage).await;
    assert_eq!(
        verdict,
        Verdict::Done(Seen {
            same_mac: false,
            standing: Standing::Same,
            values: Values::of_id(IdDigest::of(b"id 1")),
            repeats: 0,
            attempts: 2
        })
    );
}

async fn nothing_is_judged_before_it_is_delivered(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    let other = first
        .again()
        .with(|ask| ask.values = Values::of_id(IdDigest::of(b"id 2")));
    let verdict = other.ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    first.settle(stage, &grant, &["a"], &[]).await;
    assert_eq!(other.claim(stage).await.attempt, 2);
}

async fn a_lease_that_is_over_lets_the_next_attempt_through(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let new = first.again().claim(stage).await;
    assert!(new.fence > old.fence);
    assert_eq!(new.attempt, 2);
}

async fn a_late_success_counts_whoever_holds_the_delivery(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again().with(|ask| ask.lease = LONG);
    let new = second.claim(stage).await;
    assert_eq!(first.settle(stage, &old, &["a"], &["a"]).await, Settled::Done);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
    // The holder's failure takes nothing back.
    assert_eq!(second.settle(stage, &new, &["a"], &[]).await, Settled::Done);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
}

async fn a_late_failure_frees_nothing(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again().with(|ask| ask.lease = LONG);
    second.claim(stage).await;
    assert_eq!(first.settle(stage, &old, &["a", "b"], &["a"]).await, Settled::Fenced);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    // But its success was noted.
    second.release(stage).await;
    assert_eq!(first.again().claim(stage).await.delivered, names(&["a"]));
}

async fn a_release_gives_the_attempt_number_back(stage: &impl Stage) {
    let first = Attempt::new();
    let mut fence = first.claim(stage).await.fence;
    first.release(stage).await;
    let second = first.again();
    let grant = second.claim(stage).await;
    assert_eq!(grant.attempt, 1);
    assert!(grant.fence > fence);
    second.settle(stage, &grant, &["a"], &[]).await;
    fence = grant.fence;
    for _ in 0..2 {
        let limited = first.again();
        let grant = limited.claim(stage).await;
        assert_eq!(grant.attempt, 2);
        assert!(grant.fence > fence);
        fence = grant.fence;
        limited.release(stage).await;
    }
    assert_eq!(first.again().claim(stage).await.attempt, 2);
}

async fn a_release_takes_no_success_back(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    first.report(stage, &grant, &[], &["a"], false).await;
    first.release(stage).await;
    let next = first.again().claim(stage).await;
    assert_eq!((next.attempt, &next.delivered), (1, &names(&["a"])));
    assert!(next.fence > grant.fence);
}

async fn fences_grow_even_if_the_clock_steps_back(stage: &impl Stage) {
    // Granted in the year 2096, by a clock that has been put right since.
    let grant = Grant {
        fence: 4_000_000_000_000_000,
        attempt: 1,
        delivered: Vec::new(),
        redelivery: false,
    };
    let first = Attempt::new();
    assert_eq!(first.settle(stage, &grant, &["a", "b"], &["a"]).await, Settled::Open);
    let next = first.again().claim(stage).await;
    assert!(next.fence > grant.fence, "{} after {}", next.fence, grant.fence);
}

async fn only_the_owner_releases(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    first.claim(stage).await;
    first.again().release(stage).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    stage.pass(OVER).await;
    let second = first.again().with(|ask| ask.lease = LONG);
    second.claim(stage).await;
    // Its lease went to another.
    first.release(stage).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    // A delivered record is no claim.
    let done = Attempt::new();
    done.delivered(stage).await;
    done.release(stage).await;
    let verdict = done.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
    // Nor is none.
    Attempt::new().release(stage).await;
}

async fn without_required_destinations_nothing_is_ever_delivered(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    assert_eq!(first.settle(stage, &grant, &[], &["a"]).await, Settled::Open);
    let second = first.again();
    let grant = second.claim(stage).await;
    assert_eq!(grant.delivered, names(&["a"]));
    assert_eq!(second.settle(stage, &grant, &[], &[]).await, Settled::Open);
    // All that is required has had it already: an attempt with nothing to do delivers it.
    let third = first.again();
    let grant = third.claim(stage).await;
    assert_eq!(third.settle(stage, &grant, &["a"], &[]).await, Settled::Done);
}

async fn a_fan_out_remembers_who_has_had_it(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    assert_eq!(
        first.settle(stage, &grant, &["a", "b"], &["a", "optional"]).await,
        Settled::Open
    );
    let second = first.again();
    let grant = second.claim(stage).await;
    let mut had = grant.delivered.clone();
    had.sort();
    assert_eq!(had, names(&["a", "optional"]));
    assert_eq!(second.settle(stage, &grant, &["a", "b"], &["b"]).await, Settled::Done);
}

async fn a_note_does_not_end_the_attempt(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let grant = first.claim(stage).await;
    assert_eq!(first.report(stage, &grant, &[], &["a"], false).await, Settled::Open);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    // It crashes here: the next one need not send to `a` again.
    stage.pass(OVER).await;
    assert_eq!(first.again().claim(stage).await.delivered, names(&["a"]));
}

async fn a_lost_record_is_made_anew_by_its_settlement(stage: &impl Stage) {
    let grant = Grant {
        fence: 7,
        attempt: 3,
        delivered: Vec::new(),
        redelivery: false,
    };
    let done = Attempt::new();
    assert_eq!(done.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    let verdict = done.again().ask(stage).await;
    assert_eq!(
        verdict,
        Verdict::Done(Seen {
            same_mac: true,
            standing: Standing::Same,
            values: Values::of_id(IdDigest::of(b"id 1")),
            repeats: 0,
            attempts: 3
        })
    );

    // One that has begun anew meanwhile counts on from where it was.
    let anew = Attempt::new();
    anew.claim(stage).await;
    assert_eq!(anew.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    let verdict = anew.again().ask(stage).await;
    assert!(
        matches!(verdict, Verdict::Done(Seen { attempts: 3, .. })),
        "{verdict:?}"
    );

    let half = Attempt::new();
    assert_eq!(half.settle(stage, &grant, &["a", "b"], &["a"]).await, Settled::Open);
    let next = half.again().claim(stage).await;
    assert_eq!((next.attempt, next.delivered), (4, names(&["a"])));
    assert!(next.fence > 7);

    let failed = Attempt::new();
    assert_eq!(failed.settle(stage, &grant, &["a"], &[]).await, Settled::Open);
    assert_eq!(failed.again().claim(stage).await.attempt, 1);
}

async fn settling_twice_is_settling_once(stage: &impl Stage) {
    let failed = Attempt::new();
    let grant = failed.claim(stage).await;
    for _ in 0..2 {
        assert_eq!(failed.settle(stage, &grant, &["a", "b"], &["a"]).await, Settled::Open);
    }
    let second = failed.again();
    let grant = second.claim(stage).await;
    assert_eq!(grant.attempt, 2);
    for _ in 0..2 {
        assert_eq!(second.settle(stage, &grant, &["a", "b"], &["b"]).await, Settled::Done);
    }
}

async fn a_delivered_record_ends_with_its_keep(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.keep = SHORT);
    first.delivered(stage).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
    stage.pass(OVER).await;
    assert_eq!(first.again().claim(stage).await.attempt, 1);
}

async fn an_unfinished_record_ends_with_its_open_time(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| (ask.open, ask.lease) = (SHORT, SHORT));
    let grant = first.claim(stage).await;
    first.settle(stage, &grant, &["a"], &[]).await;
    stage.pass(OVER).await;
    let next = first.again().claim(stage).await;
    assert_eq!(next.attempt, 1);
    assert!(next.fence > grant.fence);
}

async fn a_half_delivered_record_lives_as_long_as_a_delivered_one(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| (ask.open, ask.lease) = (SHORT, SHORT));
    let grant = first.claim(stage).await;
    first.settle(stage, &grant, &["a", "b"], &["a"]).await;
    stage.pass(OVER).await;
    let second = first.again();
    let grant = second.claim(stage).await;
    assert_eq!((grant.attempt, &grant.delivered), (2, &names(&["a"])));
    // Another claim and another failure do not shorten its life either.
    second.settle(stage, &grant, &["a", "b"], &[]).await;
    stage.pass(OVER).await;
    assert_eq!(first.again().claim(stage).await.delivered, names(&["a"]));
}

async fn a_renewed_lease_runs_anew(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| (ask.open, ask.lease) = (SHORT, SHORT));
    let grant = first.claim(stage).await;
    let longer = first.clone().with(|ask| ask.lease = LONG);
    assert_eq!(longer.renew(stage, &grant).await, Renewed::Held);
    stage.pass(OVER).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    assert_eq!(longer.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
}

async fn only_the_holder_renews(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again();
    let new = second.claim(stage).await;
    assert_eq!(first.renew(stage, &old).await, Renewed::Fenced);
    assert_eq!(second.renew(stage, &new).await, Renewed::Held);
    second.settle(stage, &new, &["a"], &["a"]).await;
    assert_eq!(second.renew(stage, &new).await, Renewed::Fenced);
    assert_eq!(Attempt::new().renew(stage, &new).await, Renewed::Fenced);
}

async fn a_forgotten_delivery_is_let_through_once(stage: &impl Stage) {
    let first = Attempt::new();
    let old = first.delivered(stage).await;
    assert_eq!(first.forget(stage, LONG).await, Forgotten::Deliverable);
    let second = first.again();
    let grant = second.claim(stage).await;
    assert_eq!((grant.attempt, &grant.delivered[..]), (2, &[][..]));
    assert!(grant.fence > old.fence);
    assert_eq!(second.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    let verdict = first.again().ask(stage).await;
    assert_eq!(
        verdict,
        Verdict::Done(Seen {
            same_mac: true,
            standing: Standing::Same,
            values: Values::of_id(IdDigest::of(b"id 1")),
            repeats: 0,
            attempts: 2
        })
    );
}

async fn forgetting_has_a_window(stage: &impl Stage) {
    let first = Attempt::new();
    first.delivered(stage).await;
    assert_eq!(first.forget(stage, SHORT).await, Forgotten::Deliverable);
    stage.pass(OVER).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
}

async fn what_is_in_flight_or_not_delivered_is_not_forgotten(stage: &impl Stage) {
    let first = Attempt::new();
    assert_eq!(first.forget(stage, LONG).await, Forgotten::Unknown);
    let grant = first.claim(stage).await;
    match first.forget(stage, LONG).await {
        Forgotten::InFlight { left } => assert!(left > LONG / 2 && left <= LONG, "{left:?}"),
        other => panic!("{other:?}"),
    }
    first.settle(stage, &grant, &["a"], &[]).await;
    assert_eq!(first.forget(stage, LONG).await, Forgotten::NotDelivered);
    assert_eq!(first.again().claim(stage).await.attempt, 2);
}

async fn what_was_delivered_lately_is_let_through_once(stage: &impl Stage) {
    let source = fresh_source("");
    let attempts: Vec<Attempt> = (0..4).map(|_| Attempt::new().of(&source)).collect();
    let [old, recent, failed, held] = &attempts[..] else {
        panic!("four")
    };
    old.delivered(stage).await;
    stage.pass(PAST).await;
    let before = recent.delivered(stage).await;
    let grant = failed.claim(stage).await;
    failed.settle(stage, &grant, &["a"], &[]).await;
    held.claim(stage).await;
    assert_eq!(forget_since(stage, &source, RECENT, None).await, 1);
    assert!(matches!(old.again().ask(stage).await, Verdict::Done(_)));
    assert!(matches!(held.again().ask(stage).await, Verdict::Busy { .. }));
    assert_eq!(failed.again().claim(stage).await.attempt, 2);
    let again = recent.again();
    let grant = again.claim(stage).await;
    assert!(grant.attempt == 2 && grant.fence > before.fence);
    assert_eq!(again.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    assert!(matches!(recent.again().ask(stage).await, Verdict::Done(_)));
    // One whose success was told later counts from when it was delivered.
    let late = Attempt::new().of(&source);
    let grant = late.claim(stage).await;
    let settlement = Settlement {
        succeeded: Succeeded::Ago(LONG / 2),
        ..late.settlement(&grant, &["a"], &["a"], true)
    };
    assert_eq!(stage.ledger().settle(&settlement).await, Ok(Settled::Done));
    stage.pass(PAST).await;
    assert_eq!(forget_since(stage, &source, RECENT, None).await, 0);
    assert!(matches!(late.again().ask(stage).await, Verdict::Done(_)));
    assert_eq!(forget_since(stage, &source, LONG, None).await, 3);
}

async fn what_was_delivered_lately_is_found_by_event(stage: &impl Stage) {
    let source = fresh_source("");
    let long = "x".repeat(65);
    let events = [
        Some("pull_request.opened"),
        Some("pull_request.closed"),
        Some("push"),
        Some(&long),
        None,
    ];
    let mut attempts = Vec::new();
    for event in events {
        let event = event.map(|event| EventName::parse(event).expect("an event"));
        let attempt = Attempt::new().of(&source).with(|ask| ask.event = event);
        attempt.delivered(stage).await;
        attempts.push(attempt);
    }
    for (event, count) in [("issues", 0), ("pull_request.opened", 1), ("*sh", 1)] {
        assert_eq!(forget_since(stage, &source, LONG, Some(event)).await, count, "{event}");
    }
    for (attempt, through) in attempts.iter().zip([true, false, true, false, false]) {
        let claimed = matches!(attempt.again().ask(stage).await, Verdict::Claimed(_));
        assert_eq!(claimed, through);
    }
    // Those that are claimed now are under way. The first part alone means all that refine it.
    assert_eq!(forget_since(stage, &source, LONG, Some("pull_request")).await, 1);
    assert_eq!(
        forget_since(stage, &source, LONG, Some("*")).await,
        0,
        "too long a name is not kept"
    );
    stage.pass(LONG_AGO).await;
    assert_eq!(forget_since(stage, &source, LONG, None).await, 3);
}

async fn other_sources_and_namespaces_are_not_let_through(stage: &impl Stage) {
    let source = fresh_source("");
    // Its name begins alike, and in another namespace it is even the same.
    let longer = SourceName::parse(&format!("{}-2", source.name())).expect("a name");
    let others = [
        SourceTag::of(&longer),
        SourceTag::within("staging", source.name()),
        fresh_source(""),
    ];
    let mut attempts = Vec::new();
    for source in &others {
        let attempt = Attempt::new().of(source);
        attempt.delivered(stage).await;
        attempts.push(attempt);
    }
    assert_eq!(forget_since(stage, &source, LONG, None).await, 0);
    for attempt in attempts {
        assert!(matches!(attempt.again().ask(stage).await, Verdict::Done(_)));
    }
}

async fn of_many_attempts_at_once_one_is_granted(stage: &impl Stage) {
    for _ in 0..20 {
        let first = Attempt::new();
        let attempts: Vec<_> = (0..16).map(|_| first.again()).collect();
        let verdicts = futures_util::future::join_all(attempts.iter().map(|attempt| attempt.ask(stage))).await;
        let granted = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Claimed(_)))
            .count();
        assert_eq!(granted, 1, "{verdicts:?}");
    }
}

async fn forget_since(stage: &impl Stage, source: &SourceTag, within: Duration, event: Option<&str>) -> u64 {
    let lately = Lately {
        within,
        event: event.map(Glob::new),
        window: LONG,
    };
    let recalled = stage.ledger().forget_since(source, &lately).await;
    let recalled = recalled.expect("the ledger answers");
    assert!(recalled.complete);
    recalled.deliverable
}

/// One that nothing else in the ledger is of.
fn fresh_source(namespace: &str) -> SourceTag {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let name = format!("fresh-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    SourceTag::within(namespace, &SourceName::parse(&name).expect("a name"))
}

async fn who_asks_again_late_is_judged_as_anybody(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    // Nobody came in between: it is the same claim, and its lease runs anew.
    assert_eq!(first.clone().with(|ask| ask.lease = LONG).claim(stage).await, old);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");

    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again().with(|ask| ask.lease = LONG);
    let grant = second.claim(stage).await;
    let verdict = first.ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    second.settle(stage, &grant, &["a"], &[]).await;
    let grant = first.claim(stage).await;
    assert_eq!(grant.attempt, 3, "its old claim is gone: this is a new attempt");
}

async fn a_record_outlives_its_lease(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.open = SHORT);
    let grant = first.claim(stage).await;
    stage.pass(OVER).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    assert_eq!(first.renew(stage, &grant).await, Renewed::Held);
    stage.pass(OVER).await;
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
}

async fn the_delivered_one_is_the_first_that_was(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let other =
        |ask: &mut Ask| (ask.values, ask.mac) = (Values::of_id(IdDigest::of(b"id 2")), Some(MacDigest::of(b"mac 2")));
    let second = first.again().with(other);
    let new = second.claim(stage).await;
    assert_eq!(first.settle(stage, &old, &["a"], &["a"]).await, Settled::Done);
    assert_eq!(second.settle(stage, &new, &["a"], &["a"]).await, Settled::Done);
    // The second was delivered too, so it is not one that nobody has had.
    for (ask, same, standing) in [
        (first.again(), true, Standing::Same),
        (second.again(), false, Standing::Repeated),
    ] {
        match ask.ask(stage).await {
            Verdict::Done(seen) => assert_eq!((seen.same_mac, seen.standing), (same, standing)),
            verdict => panic!("{verdict:?}"),
        }
    }
}

async fn two_halves_of_two_attempts_are_a_whole(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again().with(|ask| ask.lease = LONG);
    let new = second.claim(stage).await;
    // Late, and not all of it: it is noted, and frees nothing.
    assert_eq!(first.settle(stage, &old, &["a", "b"], &["a"]).await, Settled::Fenced);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    assert_eq!(second.settle(stage, &new, &["a", "b"], &["b"]).await, Settled::Done);
}

async fn a_forgotten_delivery_that_fails_is_open_like_any_other(stage: &impl Stage) {
    let first = Attempt::new();
    first.delivered(stage).await;
    assert_eq!(first.forget(stage, SHORT).await, Forgotten::Deliverable);
    let second = first.again();
    let grant = second.claim(stage).await;
    assert_eq!(second.settle(stage, &grant, &["a"], &[]).await, Settled::Open);
    stage.pass(OVER).await;
    // The window is over; what was begun in it is not.
    let third = first.again();
    let grant = third.claim(stage).await;
    assert_eq!(grant.attempt, 3);
    assert_eq!(third.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
}

async fn a_settlement_in_a_forgotten_window_delivers_nothing_new(stage: &impl Stage) {
    let first = Attempt::new().with(|ask| ask.lease = SHORT);
    let old = first.claim(stage).await;
    stage.pass(OVER).await;
    let second = first.again();
    let new = second.claim(stage).await;
    assert_eq!(second.settle(stage, &new, &["a"], &["a"]).await, Settled::Done);
    assert_eq!(first.forget(stage, LONG).await, Forgotten::Deliverable);
    // The attempt that slept past its lease comes back with a success of before.
    assert_eq!(first.settle(stage, &old, &["a"], &["a"]).await, Settled::Done);
    assert_eq!(
        first.again().claim(stage).await.attempt,
        3,
        "the operator's wish stands"
    );
}

async fn only_the_last_word_frees(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    for delivered in [&[][..], &["a"], &["a", "c"]] {
        let told = first.report(stage, &grant, &["a", "b"], delivered, false).await;
        assert_eq!(told, Settled::Open);
        let verdict = first.again().ask(stage).await;
        assert!(matches!(verdict, Verdict::Busy { .. }), "{verdict:?}");
    }
    assert_eq!(
        first.report(stage, &grant, &["a", "b"], &["b"], false).await,
        Settled::Done
    );
    let verdict = first.again().ask(stage).await;
    assert!(matches!(verdict, Verdict::Done(_)), "{verdict:?}");
    assert_eq!(first.settle(stage, &grant, &["a", "b"], &[]).await, Settled::Done);
}

async fn a_wide_fan_out_is_remembered_whole(stage: &impl Stage) {
    let all: Vec<String> = (0..64).map(|n| format!("destination-{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut attempt = Attempt::new();
    for (n, part) in all.chunks(16).enumerate() {
        let grant = attempt.claim(stage).await;
        let had: std::collections::BTreeSet<_> = grant.delivered.iter().map(DestinationName::as_str).collect();
        assert_eq!(had, all[..n * 16].iter().copied().collect());
        let expected = if n == 3 { Settled::Done } else { Settled::Open };
        assert_eq!(attempt.settle(stage, &grant, &all, part).await, expected);
        attempt = attempt.again();
    }
}

async fn of_many_reports_at_once_all_count(stage: &impl Stage) {
    let all = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    let notes = all.map(|name| {
        let (first, grant) = (&first, &grant);
        async move { first.report(stage, grant, &[], &[name], false).await }
    });
    for noted in futures_util::future::join_all(notes).await {
        assert_eq!(noted, Settled::Open);
    }
    assert_eq!(first.settle(stage, &grant, &all, &[]).await, Settled::Done);
}

fn names(names: &[&str]) -> Vec<DestinationName> {
    names
        .iter()
        .map(|name| DestinationName::parse(name).expect("a name"))
        .collect()
}

fn key() -> DeliveryKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(nonce().as_bytes());
    bytes[24..].copy_from_slice(&nonce().as_bytes()[8..]);
    DeliveryKey::from_bytes(bytes)
}

fn nonce() -> Nonce {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
    bytes[8..].copy_from_slice(&count.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    Nonce::from_bytes(bytes)
}

fn under(attempt: &Attempt, id: &[u8]) -> Attempt {
    attempt.again().with(|ask| ask.values = Values::of_id(IdDigest::of(id)))
}

async fn standing(stage: &impl Stage, attempt: &Attempt) -> (Standing, usize) {
    match attempt.ask(stage).await {
        Verdict::Done(seen) => (seen.standing, seen.repeats),
        verdict => panic!("{verdict:?}"),
    }
}

async fn values_that_came_before_the_delivery_are_pending(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    // Three beside the holder's own; a fifth set is not remembered.
    for id in [b"2", b"3", b"4", b"5"] {
        for _ in 0..2 {
            assert!(matches!(under(&first, id).ask(stage).await, Verdict::Busy { .. }));
        }
    }
    assert_eq!(first.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    assert_eq!(standing(stage, &first.again()).await, (Standing::Same, 0));
    for id in [b"2", b"3", b"4"] {
        assert_eq!(standing(stage, &under(&first, id)).await, (Standing::Pending, 0));
    }
    assert_eq!(standing(stage, &under(&first, b"5")).await, (Standing::New, 0));
    assert_eq!(standing(stage, &under(&first, b"6")).await, (Standing::New, 0));
}

async fn a_pending_attempt_outlives_the_failure_and_the_release_of_another(stage: &impl Stage) {
    let first = Attempt::new();
    let grant = first.claim(stage).await;
    assert!(matches!(under(&first, b"2").ask(stage).await, Verdict::Busy { .. }));
    first.settle(stage, &grant, &["a"], &[]).await;
    let second = first.again();
    second.claim(stage).await;
    release(stage, &second).await;
    let third = under(&first, b"3");
    third.delivered(stage).await;
    assert_eq!(standing(stage, &under(&first, b"2")).await, (Standing::Pending, 0));
    // The first was seen before, and not delivered.
    assert_eq!(standing(stage, &first.again()).await, (Standing::Pending, 0));
    assert_eq!(standing(stage, &third.again()).await, (Standing::Same, 0));
}

async fn a_record_remembers_the_last_repeats_and_removes_the_records_of_the_others(stage: &impl Stage) {
    let first = Attempt::new();
    first.delivered(stage).await;
    let variants: Vec<Variant> = (1..=3).map(|at| Variant::of_time(Timestamp::from_secs(at))).collect();
    let at = |variant: &Variant| first.again().with(|ask| ask.values = Values::Time(*variant));
    let own = |variant: &Variant| {
        let key = first.0.key.of_repeat(variant);
        first.again().with(|ask| ask.key = key)
    };
    for (index, variant) in variants.iter().enumerate() {
        assert_eq!(standing(stage, &at(variant)).await, (Standing::New, index.min(2)));
        own(variant).delivered(stage).await;
        note_repeat(stage, &first, *variant, 2).await;
        note_repeat(stage, &first, *variant, 2).await;
        assert_eq!(
            standing(stage, &at(variant)).await,
            (Standing::Repeated, (index + 1).min(2))
        );
    }
    assert_eq!(standing(stage, &at(&variants[0])).await, (Standing::New, 2));
    // Its own record went with it, the others' did not.
    assert!(matches!(own(&variants[0]).ask(stage).await, Verdict::Claimed(_)));
    assert!(matches!(own(&variants[1]).ask(stage).await, Verdict::Done(_)));
    // Nothing is noted where there is no record.
    note_repeat(stage, &Attempt::new(), variants[0], 2).await;
}

async fn a_forgotten_delivery_is_marked_until_it_is_delivered(stage: &impl Stage) {
    let first = Attempt::new();
    assert!(!first.claim(stage).await.redelivery);
    release(stage, &first).await;
    first.delivered(stage).await;
    forget(stage, &first).await;
    let second = first.again();
    let grant = second.claim(stage).await;
    assert!(grant.redelivery);
    second.settle(stage, &grant, &["a"], &[]).await;
    // It failed: the next attempt is a redelivery still.
    let third = second.again();
    let grant = third.claim(stage).await;
    assert!(grant.redelivery);
    assert_eq!(third.settle(stage, &grant, &["a"], &["a"]).await, Settled::Done);
    assert_eq!(standing(stage, &third.again()).await, (Standing::Same, 0));
}

async fn a_repeat_is_not_let_through_in_place_of_its_first_delivery(stage: &impl Stage) {
    let first = Attempt::new();
    first.delivered(stage).await;
    let other = under(&first, b"2");
    note_repeat(stage, &first, other.0.values.variant().expect("a variant"), 4).await;
    forget(stage, &first).await;
    assert_eq!(standing(stage, &other.again()).await, (Standing::Repeated, 1));
    assert!(first.again().claim(stage).await.redelivery);
}

async fn note_repeat(stage: &impl Stage, attempt: &Attempt, variant: Variant, max: usize) {
    let Ask { source, key, .. } = &attempt.0;
    let noted = stage.ledger().note_repeat(source, key, variant, max).await;
    noted.expect("the ledger answers");
}

async fn release(stage: &impl Stage, attempt: &Attempt) {
    let Ask { source, key, owner, .. } = &attempt.0;
    let released = stage.ledger().release(source, key, owner).await;
    released.expect("the ledger answers");
}

async fn forget(stage: &impl Stage, attempt: &Attempt) {
    let Ask { source, key, .. } = &attempt.0;
    let forgotten = stage.ledger().forget(source, key, LONG).await;
    assert_eq!(forgotten, Ok(Forgotten::Deliverable));
}

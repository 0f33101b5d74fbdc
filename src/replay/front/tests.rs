//! Two doors on one ledger: what is remembered here while Redis answers, and while it does not.

use super::*;
use crate::replay::Standing;
use crate::{
    event::{Clock, MacDigest, Nonce, SourceName, TestClock, Timestamp, Values},
    replay::{Renewed, Settled},
};
use std::num::NonZeroUsize;

fn tag() -> SourceTag {
    SourceTag::of(&SourceName::parse("acme").expect("a name"))
}

fn ask(owner: u8, lease: Duration) -> Ask {
    Ask {
        key: DeliveryKey::from_bytes([1; 32]),
        owner: Nonce::from_bytes([owner; 16]),
        lease,
        open: Duration::from_hours(1),
        keep: Duration::from_hours(1),
        source: tag(),
        event: None,
        values: Values::default(),
        mac: Some(MacDigest::of(b"mac")),
    }
}

async fn granted(door: &Replay, ask: Ask) -> Claim {
    match door.claim(ask, OnOutage::Reject).await {
        Ok(Decision::Claimed(claim)) => claim,
        Ok(Decision::Busy { left }) => panic!("held for {left:?}"),
        Ok(Decision::Done(seen)) => panic!("delivered: {seen:?}"),
        Err(unavailable) => panic!("{unavailable}"),
    }
}

#[tokio::test]
async fn without_redis_the_ledger_is_in_process_and_no_outage() {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
    let entries = NonZeroUsize::new(64).expect("a size");
    let (replays, _recovery) = Replays::in_process(Arc::clone(&clock) as Arc<dyn Clock>, entries);
    let doors = [replays.worker(), replays.worker()];
    let lease = Ask::lease_for(Duration::from_secs(10), replays.timeout());
    let asked = clock.monotonic();

    let mut claim = granted(&doors[0], ask(1, lease)).await;
    assert!(!claim.is_local() && replays.up() && replays.skew_millis().is_none());
    assert_eq!((claim.attempt(), claim.delivered().len()), (1, 0));
    assert_eq!(
        claim.deadline(),
        asked.plus(Duration::from_secs(10)),
        "the forward has its whole time"
    );
    let second = doors[1].claim(ask(2, lease), OnOutage::Local).await;
    assert!(matches!(second, Ok(Decision::Busy { left }) if left == lease));

    clock.advance(Duration::from_secs(5));
    assert_eq!(claim.renew().await, Ok(Renewed::Held));
    assert_eq!(claim.deadline(), asked.plus(Duration::from_secs(15)));
    claim.release().await;

    let claim = granted(&doors[1], ask(3, Duration::from_secs(2))).await;
    assert_eq!(claim.attempt(), 1);
    assert_eq!(claim.deadline(), clock.monotonic().plus(Duration::from_millis(1500)));
    claim.witness().note(&DestinationName::upstream()).await;
    assert_eq!(claim.settle(&[DestinationName::upstream()], &[]).await, Settled::Done);
    let third = doors[0].claim(ask(4, lease), OnOutage::Local).await;
    assert!(matches!(third, Ok(Decision::Done(seen)) if seen.same_mac && seen.standing == Standing::Same));

    let forgotten = doors[0]
        .forget(&tag(), &DeliveryKey::from_bytes([1; 32]), Duration::from_mins(10))
        .await;
    assert_eq!(forgotten, Ok(Forgotten::Deliverable));
    let claim = granted(&doors[0], ask(5, lease)).await;
    assert_eq!((claim.attempt(), replays.entries(), replays.evicted()), (2, 1, 0));
    assert_eq!(claim.settle(&[], &[DestinationName::upstream()]).await, Settled::Open);
}

#[tokio::test]
async fn the_next_attempt_knows_who_had_the_delivery() {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
    let (replays, _recovery) = Replays::in_process(clock, NonZeroUsize::MIN);
    let door = replays.worker();
    let name = |text: &str| DestinationName::parse(text).expect("a name");
    let (both, first) = ([name("a"), name("b")], [name("a")]);
    let lease = Duration::from_secs(10);
    let claim = granted(&door, ask(1, lease)).await;
    assert_eq!(claim.settle(&both, &first).await, Settled::Open);
    let claim = granted(&door, ask(2, lease)).await;
    assert_eq!((claim.attempt(), claim.delivered()), (2, &first[..]));
    assert_eq!(
        claim.settle(&both, &[name("b")]).await,
        Settled::Done,
        "each had it once"
    );
}

#[tokio::test]
async fn what_a_full_ledger_forgets_early_is_counted() {
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_795_000_000)));
    let (replays, _recovery) = Replays::in_process(clock, NonZeroUsize::MIN);
    let door = replays.worker();
    for number in 0..3 {
        let ask = Ask {
            key: DeliveryKey::from_bytes([number; 32]),
            ..ask(1, Duration::from_secs(10))
        };
        let claim = granted(&door, ask).await;
        let upstream = [DestinationName::upstream()];
        assert_eq!(claim.settle(&upstream, &upstream).await, Settled::Done);
        assert_eq!((replays.entries(), replays.evicted()), (1, number.into()));
    }
}

#[test]
fn its_work_may_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let clock = Arc::new(TestClock::at(Timestamp::from_secs(0)));
    let (replays, recovery) = Replays::in_process(clock, NonZeroUsize::MIN);
    let door = replays.worker();
    moves(&door.claim(ask(1, Duration::from_secs(1)), OnOutage::Local));
    moves(&recovery.run());
    moves(&async move {
        if let Ok(Decision::Claimed(mut claim)) = door.claim(ask(1, Duration::from_secs(1)), OnOutage::Local).await {
            claim.witness().note(&DestinationName::upstream()).await;
            let _held = claim.renew().await;
            claim.settle(&[], &[]).await;
        }
    });
}

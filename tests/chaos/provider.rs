//! The provider simulator: every event is sent until it is acknowledged, by its provider's schedule, scaled in time.

use crate::{
    account::{Account, Outcome},
    dice::Dice,
    letters::{Desk, Letter, Provider},
    sender::{Balancer, Manner},
};
use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// What the events of a run have in common.
pub struct Plan {
    pub seed: u64,
    pub events: u32,
    /// Over which the events are spread.
    pub load: Duration,
    /// Events of 10,000 that are sent twice at once.
    pub copies: u64,
    /// Delivered events of 10,000 whose request somebody captured and sends again.
    pub replays: u64,
    /// Attempts of 10,000 with bad manners.
    pub rude: u64,
    /// How much shorter a pause is than it really is.
    pub scale: u64,
}

/// All providers.
pub struct Providers {
    plan: Plan,
    desk: Desk,
    balancer: Balancer,
    account: Arc<Mutex<Account>>,
    /// The faults are over: nobody waits long any more.
    calm: watch::Receiver<bool>,
    pending: Cell<u32>,
}

/// More than this at once, and new events wait: the machine is too slow for the rate that was asked for.
const PENDING: u32 = 20_000;

impl Providers {
    pub fn new(plan: Plan, balancer: Balancer, account: Arc<Mutex<Account>>, calm: watch::Receiver<bool>) -> Rc<Self> {
        Rc::new(Self {
            desk: Desk::new(plan.seed),
            plan,
            balancer,
            account,
            calm,
            pending: Cell::new(0),
        })
    }

    /// Lets every event happen in its time; returns when the last one has begun, or `stop` resolves.
    pub async fn begin_all(self: &Rc<Self>, stop: impl Future<Output = ()>) {
        let (begun, mut event) = (Instant::now(), 0);
        let beginning = async {
            while event < self.plan.events {
                sleep_until(begun + self.plan.load * event / self.plan.events).await;
                while self.pending.get() >= PENDING {
                    sleep(Duration::from_millis(10)).await;
                }
                self.pending.set(self.pending.get() + 1);
                let providers = self.clone();
                tokio::task::spawn_local(async move {
                    providers.live(event).await;
                    providers.pending.set(providers.pending.get() - 1);
                });
                event += 1;
            }
        };
        tokio::select! {
            () = beginning => {}
            () = stop => {}
        }
    }

    /// Events that are not over yet.
    pub fn pending(&self) -> u32 {
        self.pending.get()
    }

    /// From its first attempt to its acknowledgement, and what a thief makes of it afterwards.
    async fn live(self: &Rc<Self>, event: u32) {
        let mut dice = Dice::new(self.plan.seed, u64::from(event) | 1 << 41);
        let provider = Provider::of(event);
        let mut attempt = 0;
        let letter = loop {
            attempt += 1;
            let letter = self.desk.write(event, attempt);
            if attempt == 1 && dice.chance(self.plan.copies) {
                self.copy(event, letter.clone(), &mut dice);
            }
            let manner = Manner::of(&mut dice, self.plan.rude);
            if self.attempt(event, &letter, manner, &mut dice).await.is_ack() {
                break letter;
            }
            self.pause(provider.pause(attempt, self.plan.scale, &mut dice), attempt)
                .await;
        };
        if dice.chance(self.plan.replays) {
            sleep(dice.millis(0, 300)).await;
            let again = if provider == Provider::GitHub {
                self.desk.disguise(event)
            } else {
                letter
            };
            self.attempt(event, &again, Manner::Plain, &mut dice).await;
        }
    }

    /// The same request a second time, as a load balancer's or sender's own retry makes one, wherever it lands.
    fn copy(self: &Rc<Self>, event: u32, letter: Letter, dice: &mut Dice) {
        // Half of them at the same moment, and the others while the first is under way, or nearly.
        let after = Duration::from_micros(dice.below(6_000).saturating_sub(3_000));
        let (providers, seed) = (self.clone(), dice.next());
        tokio::task::spawn_local(async move {
            sleep(after).await;
            let mut dice = Dice::new(seed, 0);
            providers.attempt(event, &letter, Manner::Plain, &mut dice).await;
        });
    }

    async fn attempt(&self, event: u32, letter: &Letter, manner: Manner, dice: &mut Dice) -> Outcome {
        let Some((sidecar, wire)) = self.balancer.connect(dice).await else {
            return Outcome::Refused;
        };
        let number = self.account().sent(event, sidecar);
        let outcome = self.balancer.send(sidecar, wire, letter, manner).await;
        self.account().answered(event, number, outcome);
        outcome
    }

    /// Until it is time for the next attempt; in the calm after the faults that is soon.
    async fn pause(&self, pause: Duration, attempt: u32) {
        let mut calm = self.calm.clone();
        let soon = Duration::from_millis(u64::from(attempt.min(10)) * 100);
        let pause = if *calm.borrow() { pause.min(soon) } else { pause };
        tokio::select! {
            () = sleep(pause) => {}
            result = calm.wait_for(|calm| *calm), if !*self.calm.borrow() => {
                result.expect("the sender lives as long as the run");
                // Not all at once: there may be thousands.
                sleep(Duration::from_millis(u64::from(attempt) * 37 % 1_000)).await;
            }
        }
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().expect("nobody panics with it")
    }
}

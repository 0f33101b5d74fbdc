//! Reads the body once, bounded in bytes, time and pace; every frame is hashed as it arrives and kept as it is.

mod pace;

use super::{
    Live, Shared,
    admit::{self, Admitted},
};
use crate::{
    event::{Client, Frames},
    limit::{Crowded, Permit, Room, Wait},
    provider::Verifier,
    source::{Ending, Outcome, Source, Trail},
};
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use pace::Pace;
use std::{pin::pin, sync::Arc, time::Duration};

/// Where there is no room, and some is about to be free: when to look again, and how often.
const TRY_AGAIN: Duration = Duration::from_millis(5);
const MOST_TRIES: u32 = 20;

/// A request with its body.
pub(super) struct Assembled {
    pub source: Arc<Source>,
    pub key_path: String,
    pub head: Parts,
    pub client: Client,
    pub body: Frames,
    pub verifier: Verifier,
    pub held: Held,
}

/// What a request holds of the process's budgets: a place until it is answered, room for as long as its body is needed.
pub(super) struct Held {
    in_flight: Option<Permit>,
    buffered: Option<Room>,
}

impl Held {
    /// Its place, which whoever makes the answer gives back with it: optional destinations may take longer, and a hanging
    /// one must not take the places of others.
    pub(super) fn place(&mut self) -> Option<Permit> {
        self.in_flight.take()
    }

    /// The body was verified.
    pub(super) fn proven(&mut self) {
        if let Some(room) = &mut self.buffered {
            room.proven();
        }
    }

    /// The body is not needed any more and was dropped: its room is for others.
    pub(super) fn give_back_body(&mut self) {
        self.buffered = None;
    }
}

pub(super) async fn assemble<B>(
    shared: &Shared,
    live: &Live,
    mut admitted: Admitted,
    body: B,
    trail: &mut Trail,
) -> Result<Assembled, Ending>
where
    B: Body<Data = Bytes>,
{
    let client = Some(admitted.client.ip).filter(|_| !admitted.client.perhaps_many);
    let mut buffered = shared.buffered.open(&admitted.source.bytes, client);
    let mut frames = Frames::default();
    if !body.is_end_stream() {
        read(shared, live, &mut admitted, body, &mut frames, &mut buffered, trail).await?;
    }
    Ok(Assembled {
        source: admitted.source,
        key_path: admitted.key_path,
        head: admitted.head,
        client: admitted.client,
        body: frames,
        verifier: admitted.verifier,
        held: Held {
            in_flight: admitted.in_flight,
            buffered: Some(buffered),
        },
    })
}

async fn read<B>(
    shared: &Shared,
    live: &Live,
    admitted: &mut Admitted,
    body: B,
    frames: &mut Frames,
    buffered: &mut Room,
    trail: &mut Trail,
) -> Result<(), Ending>
where
    B: Body<Data = Bytes>,
{
    let mut pace = Pace::new(live.body_timeout);
    let mut body = pin!(body);
    let mut judged = pin!(tokio::time::sleep(pace.wait()));
    let mut wait: Option<Wait> = None;
    loop {
        let (client, source, arrived) = (admitted.client.ip, &admitted.source.name, trail.arrived);
        let known = || {
            let penalties = shared.penalties.as_ref();
            penalties.is_some_and(|table| table.knows(client, source, arrived))
        };
        // Asked only when the next frame is not there yet.
        let taken = async {
            // Whoever has verified here lately keeps its place, however long its body takes.
            if wait.is_none()
                && !known()
                && let Some(place) = admitted.in_flight.take()
            {
                // Waits are bounded by themselves, and count for no source.
                wait = shared.waits.lend(place.uncounted(), trail.arrived, trail.bytes);
                if wait.is_none() {
                    return;
                }
            }
            match &wait {
                Some(wait) => wait.taken().await,
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame.map(|frame| frame.map_err(|_| broken())),
            () = taken => return Err(outwaited()),
            () = &mut judged => {
                let judgement = pace.judge(trail.bytes);
                judgement.map_err(|slow| Ending::new(Outcome::TooSlow, slow.to_string()).closing())?;
                let next = judged.deadline() + pace.wait();
                judged.as_mut().reset(next);
                continue;
            }
        };
        let Some(frame) = frame else {
            if let Some(wait) = wait {
                let share = wait.back().ok_or_else(outwaited)?;
                let wants = admit::wants(&admitted.source, &admitted.verifier);
                let again =
                    shared
                        .in_flight
                        .count_again(share, &admitted.source.in_flight, wants, live.is_lone_source());
                admitted.in_flight = Some(again.map_err(admit::no_place)?);
            }
            return Ok(());
        };
        let frame = frame?;
        // Trailers are dropped: nothing is ever read from one (attack 13).
        let Ok(data) = frame.into_data() else { continue };
        trail.bytes += data.len() as u64;
        if trail.bytes > admitted.source.max_body {
            let reason = format!("body over max_body {}", admitted.source.max_body);
            return Err(Ending::new(Outcome::TooLarge, reason).closing());
        }
        let mut tries = 0;
        while let Err(crowded) = buffered.grow(data.len() as u64, known) {
            // The longest wait for a body ends, and its room is free as soon as its task has run.
            let now = shared.observers.clock.monotonic();
            if tries == MOST_TRIES || tries == 0 && shared.waits.take(now, known()).is_none() {
                return Err(overloaded(crowded));
            }
            tries += 1;
            tokio::time::sleep(TRY_AGAIN).await;
        }
        admitted.source.provider.update(&mut admitted.verifier, &data);
        frames.push(data);
        if let Some(wait) = &mut wait {
            wait.brought(trail.bytes);
        }
    }
}

fn broken() -> Ending {
    Ending::new(Outcome::Malformed, "the body ended early or its framing is broken").closing()
}

fn outwaited() -> Ending {
    let reason = "too many bodies are on their way (limits.in_flight), and this one had no longer a place among them";
    Ending::new(Outcome::Overloaded, reason).with_retry_after(1).closing()
}

fn overloaded(crowded: Crowded) -> Ending {
    Ending::new(Outcome::Overloaded, crowded.to_string())
        .with_retry_after(1)
        .closing()
}

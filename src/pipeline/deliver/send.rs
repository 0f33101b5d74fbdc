//! One request to one destination, if there is room for it and it is not being left alone; and how it was taken.

use crate::pipeline::{Worker, authenticate::Authentic, choose::Target, claim::Marks, origin::Origin};
use crate::{
    event::{DestinationName, Frames, Timestamp},
    limit::AnswerRoom,
    telemetry::{DeliveryResult, Handed, Level, RequestId, TraceParent},
    upstream::{
        AnswerLimit, DeliveryError, DestinationSpec, OutboundRequest, Passage, Reply, Room, breaker::Change, compose,
    },
};
use http::{HeaderMap, HeaderValue};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A destination that had less than this was not given the time to show that it is there.
const FAIR_TIME: Duration = Duration::from_secs(1);

/// What a destination's failure means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The delivery fails with it, and its answer may be the sender's.
    Answering,
    /// The delivery fails with it.
    Required,
    /// Nobody hears of it, and nobody comes again.
    Optional,
}

/// How one destination took it.
pub(super) struct Handover {
    pub target: Target,
    pub result: Result<Reply, DeliveryError>,
    counted: DeliveryResult,
    took: Duration,
}

/// What goes out: the request as it came in, and what is attested of it. Shared by all its destinations.
pub(super) struct Parcel {
    pub authentic: Box<Authentic>,
    pub request_id: RequestId,
    pub traceparent: TraceParent,
    pub attempt: u32,
    pub local_ledger: bool,
    pub marks: Marks,
    pub origin: Origin,
    /// The headers as received, moved out of `authentic` for the only destination there is.
    pub headers: Mutex<Option<HeaderMap>>,
}

/// Sends it, and counts how it went.
pub(super) async fn send(
    worker: &Worker,
    parcel: &Parcel,
    target: Target,
    time: Duration,
    standing: Standing,
) -> Handover {
    let clock = &worker.shared.observers.clock;
    let begun = clock.monotonic();
    let result = attempt(worker, parcel, &target.to, time, standing).await;
    let took = clock.monotonic().since(begun);
    let meters = &parcel.authentic.source.meters;
    let (counted, answered) = match &result {
        Ok(reply) if reply.status.is_success() => (DeliveryResult::Delivered, Some(took)),
        Ok(_) | Err(DeliveryError::Broken { .. }) => (DeliveryResult::Failed, Some(took)),
        Err(DeliveryError::Timeout { .. }) => (DeliveryResult::Timeout, Some(took)),
        Err(DeliveryError::Unreachable { .. } | DeliveryError::Resting { .. } | DeliveryError::Crowded { .. }) => {
            (DeliveryResult::Unreachable, None)
        }
    };
    meters.delivery(target.index, counted, answered);
    if result.as_ref().is_ok_and(|reply| reply.excess.is_some()) {
        meters.reply_too_large(target.index);
    }
    Handover {
        target,
        result,
        counted,
        took,
    }
}

/// One request to one destination, if there is room for it and it is not being left alone.
async fn attempt(
    worker: &Worker,
    parcel: &Parcel,
    to: &DestinationSpec,
    time: Duration,
    standing: Standing,
) -> Result<Reply, DeliveryError> {
    let shared = &worker.shared;
    let clock = &shared.observers.clock;
    let destination = || to.name.clone();
    let Some(_place) = to.lane.enter(shared.places()) else {
        return Err(DeliveryError::Crowded {
            destination: destination(),
        });
    };
    let breaker = to.lane.breaker();
    let comes_again = standing != Standing::Optional && parcel.authentic.source.provider.facts().automatic_retries;
    let pass = match breaker.ask(clock.monotonic()) {
        Ok(pass) => pass,
        Err(left) if comes_again => {
            return Err(DeliveryError::Resting {
                destination: destination(),
                left,
            });
        }
        // To be refused would be its loss: it waits for the app as ever.
        Err(_) => breaker.beside(),
    };
    let request = parcel.for_destination(to, clock.wall())?;
    let limit = AnswerLimit {
        bytes: shared.live.load().answer_bytes,
        keeps: standing == Standing::Answering,
        room: &|| Box::new(shared.buffered.answer()),
    };
    let result = worker.outbound.send(to, request, time, limit).await;
    let change = match &result {
        Ok(_) | Err(DeliveryError::Broken { .. }) => pass.succeeded(),
        Err(DeliveryError::Timeout { after, .. }) if *after < to.timeout.min(FAIR_TIME) => None,
        Err(_) => pass.failed(clock.monotonic(), to.connect_wait),
    };
    if let Some(change) = change {
        report(worker, &to.name, change);
    }
    result
}

fn report(worker: &Worker, destination: &DestinationName, change: Change) {
    let log = &worker.shared.observers.log;
    match change {
        Change::Opened(pause) => log.message(
            Level::Warn,
            "a destination does not answer and is left alone",
            &[("destination", destination), ("seconds", &pause.as_secs())],
        ),
        Change::Closed => log.message(
            Level::Info,
            "a destination answers again",
            &[("destination", destination)],
        ),
    }
}

impl Room for AnswerRoom {
    fn grow(&mut self, more: u64) -> bool {
        Self::grow(self, more)
    }
}

impl Parcel {
    fn for_destination(&self, to: &DestinationSpec, at: Timestamp) -> Result<OutboundRequest, DeliveryError> {
        let Authentic {
            source,
            head,
            client,
            body,
            evidence,
            identity,
            ..
        } = &*self.authentic;
        let facts = source.provider.facts();
        let text = |text: &str| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let passage = Passage {
            source: &source.name,
            provider: &source.provider_name,
            event: evidence.events.last(),
            delivery: text(&identity.delivery),
            key: &identity.key,
            attempt: self.attempt,
            verified: evidence.verified.as_str(),
            local_ledger: self.local_ledger,
            repeat: self.marks.repeat,
            redelivery: self.marks.redelivery,
            duplicate: self.marks.duplicate,
            forwarded_for: HeaderValue::try_from(client.forwarded_for()).expect("addresses are printable ASCII"),
            proto: self.origin.proto,
            forwarded_host: self.origin.forwarded_host.clone(),
            host: self.origin.host.clone(),
            request_id: self.request_id.to_header(),
            traceparent: self.traceparent.value().clone(),
            credential_headers: &facts.credential_headers,
            credential_query: &facts.credential_query,
            at,
        };
        let body: &Frames = body;
        let moved = self.headers.lock().unwrap_or_else(PoisonError::into_inner).take();
        let headers = moved.unwrap_or_else(|| head.headers.clone());
        compose(head, headers, body, passage, to)
    }
}

impl Handover {
    /// What is kept of it for operators.
    pub fn told(&self) -> Handed {
        Handed {
            name: self.target.to.name.clone(),
            result: self.counted,
            status: self.result.as_ref().ok().map(|reply| reply.status.as_u16()),
            took: self.took,
        }
    }

    /// The destination has it.
    pub fn succeeded(&self) -> bool {
        self.result.as_ref().is_ok_and(|reply| reply.status.is_success())
    }

    /// Nothing of the request left this process.
    pub fn unsent(&self) -> bool {
        matches!(
            &self.result,
            Err(DeliveryError::Unreachable { sent: false, .. }
                | DeliveryError::Resting { .. }
                | DeliveryError::Crowded { .. })
        )
    }
}

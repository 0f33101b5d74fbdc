//! The journey of a request, as a sequence of functions over proof-carrying types.
//!
//! `admit -> assemble -> authenticate -> choose -> claim -> spend -> deliver -> respond`. Each stage takes what only the
//! stage before it can make, so that wiring two of them in the wrong order does not compile. From `claim` on a request
//! goes on in a task of its own if its sender hangs up, which cannot strand a claim so.

mod admit;
mod assemble;
mod authenticate;
mod choose;
mod claim;
mod confirm;
mod deliver;
mod keys;
mod origin;
mod respond;
mod spend;
mod voyage;

use authenticate::{Authentic, Stopped};
pub use claim::Landing;
pub use deliver::Asides;
pub use respond::{AnswerBody, HeldRoom};

use crate::{
    event::{Client, Monotonic, SourceName},
    limit::{Fetches, Forwards, Handshakes, InFlight, Lender, Penalties, Repeats, Rooms, Waits},
    provider::Verified,
    replay::{Claim, Flights, Replay},
    source::{Ending, Enrolments, Observers, Outcome, ProvenUrls, Routes, Source, Trail},
    telemetry::{Metrics, RequestId, TraceParent, entropy},
    upstream::{Fetcher, Outbound, Places},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, request::Parts};
use http_body::Body;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use voyage::Voyage;

/// For operators: why a request ended unanswered at the end of a drain.
const GRACE_OVER: &str = "the grace is over";

/// What all workers share, and nothing else.
pub struct Shared {
    /// The configuration in force; a request keeps the one it began with.
    pub live: ArcSwap<Live>,
    /// Clock and log.
    pub observers: Observers,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Attempts of this process that are under way, by delivery.
    pub flights: Arc<Flights<Landing>>,
    /// Sends to optional destinations that are under way.
    pub asides: Arc<Asides>,
    /// Failed verifications by client; `None`: off.
    pub penalties: Option<Penalties>,
    /// Repetitions of what was delivered.
    pub repeats: Repeats<()>,
    /// Repeats that are forwarded.
    pub forwards: Forwards,
    /// Handshakes that nothing proves.
    pub handshakes: Handshakes,
    /// Fetches that strangers ask for.
    pub fetches: Fetches,
    /// Where keys stand that verified before.
    pub proven: ProvenUrls,
    /// Brings what providers publish.
    pub fetcher: Arc<Fetcher>,
    /// Secrets that handshakes are expected to hand out.
    pub enrolments: Enrolments,
    /// Requests between gate and answer.
    pub in_flight: InFlight,
    /// Those of them that wait for their bodies.
    pub waits: Waits,
    /// Bytes of bodies in memory.
    pub buffered: Rooms,
    /// The grace is over: what is not answered yet is told to come again.
    pub cut: CancellationToken,
    /// SIGTERM has come: a destination that refuses is 503, so that the sender tries another pod.
    pub draining: AtomicBool,
}

/// The part of [`Shared`] that a reload replaces as a whole.
pub struct Live {
    /// Path to source.
    pub routes: Routes,
    /// Every source, in the order of the configuration.
    pub sources: Vec<Arc<Source>>,
    /// Part of every ledger key.
    pub namespace: String,
    /// Time for a body.
    pub body_timeout: Duration,
    /// The longest answer of an app that is handed through, bytes.
    pub answer_bytes: u64,
    /// Time that a call to the ledger may take: part of a claim's lease.
    pub ledger_timeout: Duration,
    /// Room of each destination.
    pub places: Places,
}

/// One worker: its own pools and its own connection to Redis.
pub struct Worker {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its connections to destinations.
    pub outbound: Outbound,
    /// Its ledger.
    pub replay: Replay,
    /// Its way to the rate limits that all replicas share; `None` without Redis.
    pub lender: Option<Lender>,
    /// Deliveries and fetches that go on without their sender; awaited before the runtime ends.
    pub deliveries: TaskTracker,
}

/// The journey, ready to be walked by any number of requests of one worker.
#[derive(Clone)]
pub struct Pipeline(Arc<Worker>);

impl Pipeline {
    /// The journey of one worker.
    pub fn new(worker: Worker) -> Self {
        Self(Arc::new(worker))
    }

    /// The worker that it runs on.
    pub fn worker(&self) -> &Worker {
        &self.0
    }

    /// Walks one request through. Needs no socket: any body will do, so that it can be embedded and tested.
    pub async fn handle<B>(&self, request: Request<B>, client: Client) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send,
    {
        let (head, body) = request.into_parts();
        let mut trail = Box::new(self.trail(&head, &client));
        let proven = tokio::select! {
            biased;
            proven = self.prove(head, body, client, &mut trail) => proven,
            () = self.0.shared.cut.cancelled() => Err(respond::turned_away(GRACE_OVER)),
        };
        match proven {
            Ok(chosen) => self.detach(chosen, trail).await,
            Err(ending) => respond::respond(ending, trail),
        }
    }

    /// The grace is over: every request that is not answered yet is told to come again.
    pub fn cut(&self) {
        self.0.shared.cut.cancel();
    }

    /// Up to the proof: nothing here reaches a destination or the ledger.
    async fn prove<B>(&self, head: Parts, body: B, client: Client, trail: &mut Trail) -> Result<choose::Chosen, Ending>
    where
        B: Body<Data = Bytes> + Send,
    {
        let shared = &self.0.shared;
        let live = shared.live.load();
        let admitted = admit::admit(shared, &live, head, client, trail)?;
        let assembled = assemble::assemble(shared, &live, admitted, body, trail).await?;
        let published = keys::published(&self.0, &assembled, trail).await?;
        match authenticate::authenticate(&self.0, &live, assembled, published.as_ref(), trail) {
            Ok(authentic) => choose::choose(authentic),
            Err(Stopped::Ended(ending)) => Err(ending),
            // Boxed: it is rare, and the future of every request would be as large.
            Err(Stopped::Unconfirmed(asked)) => Err(Box::pin(confirm::confirm(&self.0, *asked, trail)).await),
        }
    }

    /// The rest of the journey, which outlives the sender's connection.
    async fn detach(&self, chosen: choose::Chosen, mut trail: Box<Trail>) -> Response<AnswerBody> {
        let worker = self.0.clone();
        let request_id = trail.request_id;
        trail.detach();
        let rest = async move {
            let ending = settle(&worker, chosen, &mut trail).await;
            respond::respond(ending, trail)
        };
        let voyage = Voyage::begin(rest, &self.0.deliveries);
        let ending = tokio::select! {
            biased;
            answer = voyage => match answer {
                Ok(answer) => return answer,
                // Only a panic ends it without an answer; its trail was counted when it was dropped.
                Err(_) => Ending::new(Outcome::Overloaded, "internal error"),
            },
            // The delivery goes on, and its trail reports what becomes of it; its sender is told to come again.
            () = self.0.shared.cut.cancelled() => respond::turned_away(GRACE_OVER),
        };
        respond::render(ending, request_id.as_str(), None)
    }

    fn trail(&self, head: &Parts, client: &Client) -> Trail {
        let given = head.headers.get("x-request-id").filter(|_| client.peer_trusted);
        let (request_id, traceparent) = entropy(|entropy| {
            let accepted = given.and_then(|id| RequestId::accept(id.as_bytes()));
            let request_id = accepted.unwrap_or_else(|| entropy.request_id());
            (request_id, TraceParent::of(&head.headers, entropy))
        });
        Trail::begin(&self.0.shared.observers, client.ip, request_id, traceparent)
    }
}

/// The journey as a tower service, for whoever embeds it behind a server of their own: the [`Client`] is taken from the
/// request's extensions, and a request without one is refused as an overload of ours, never guessed.
impl<B> tower::Service<Request<B>> for Pipeline
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let pipeline = self.clone();
        Box::pin(async move {
            Ok(match request.extensions_mut().remove::<Client>() {
                Some(client) => pipeline.handle(request, client).await,
                None => pipeline.turn_away(),
            })
        })
    }
}

async fn settle(worker: &Arc<Worker>, chosen: choose::Chosen, trail: &mut Trail) -> Ending {
    let claimed = match claim::claim(worker, chosen, trail).await {
        Ok(claimed) => claimed,
        Err(ending) => return ending,
    };
    match spend::spend(worker, claimed, trail).await {
        Ok(cleared) => deliver::deliver(worker, cleared, trail).await,
        Err(ending) => ending,
    }
}

impl Live {
    /// Is there one source only?
    fn is_lone_source(&self) -> bool {
        self.sources.len() == 1
    }
}

impl Shared {
    /// SIGTERM has come.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Failed verifications, where they count for this client: not where it may be a load balancer that stands for many.
    /// Who is trusted is asked of the client and not of the table, because a reload changes the one and not the other.
    fn penalties_of(&self, client: &Client) -> Option<&Penalties> {
        self.penalties.as_ref().filter(|_| !client.perhaps_many)
    }

    /// The ledger granted an attempt. The first one of a delivery exempts its client from penalties; a further one may be a
    /// captured request of a delivery that keeps failing.
    fn granted(&self, authentic: &Authentic, claim: &Claim, now: Monotonic) {
        // In an outage of Redis a repeat looks new.
        if claim.attempt() == 1 && !claim.is_local() && authentic.evidence.verified != Verified::None {
            self.exempt(&authentic.client, &authentic.source.name, now);
        }
    }

    /// This client is not penalized at this source for 24 h.
    fn exempt(&self, client: &Client, source: &SourceName, now: Monotonic) {
        if let Some(penalties) = self.penalties_of(client) {
            penalties.pardon(client.ip, source, now);
        }
    }

    /// How many deliveries may be under way to one destination now.
    fn places(&self) -> u64 {
        let places = self.live.load().places;
        if self.under_pressure() {
            places.share
        } else {
            places.most
        }
    }

    /// More than half of what the process may use is in use: what is fair only under pressure is enforced.
    pub fn under_pressure(&self) -> bool {
        self.in_flight.under_pressure() || self.buffered.under_pressure()
    }
}

//! The admin listener: the page, and the JSON API under `/api/v1`.

use super::{
    Access, Control, Forgotten,
    answer::{self, Answer, Refusal},
    guard,
    listener::Ends,
    operate, page,
    recent::{self, Filter},
    tail,
};
use crate::event::{Glob, SourceName};
use bytes::BytesMut;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

const LONGEST_BODY: usize = 64 * 1024;

/// What answers on the admin listener.
pub(super) struct Admin {
    pub control: Arc<dyn Control>,
    pub access: Access,
    /// Time for a body.
    pub patience: Duration,
    /// Places of `tail`.
    pub readers: Arc<Semaphore>,
    pub stop: CancellationToken,
}

/// Answers one request.
pub(super) async fn answer(request: Request<Incoming>, ends: Ends, admin: Arc<Admin>) -> Answer {
    let answered = async {
        guard::admit(&request, &ends, &admin.access)?;
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            look(&request, ends, &admin)
        } else {
            order(request, &admin).await
        }
    };
    answered.await.unwrap_or_else(Refusal::into_answer)
}

const LOOKS: [&str; 5] = ["status", "sources", "destinations", "deliveries", "tail"];
const ORDERS: [&str; 3] = ["reload", "drain", "log-level"];
const ORDERS_OF_A_SOURCE: [&str; 3] = ["/send", "/enroll", "/forget"];

/// What only looks.
fn look(request: &Request<Incoming>, ends: Ends, admin: &Admin) -> Result<Answer, Refusal> {
    let control = &*admin.control;
    let path = request.uri().path();
    let is_source = |name: &str| {
        let sources = control.sources();
        let mut sources = sources.as_array().into_iter().flatten();
        sources.any(|source| source["name"] == name)
    };
    let filter = || Filter::parse(request.uri().query().unwrap_or(""), is_source);
    let Some(what) = path.strip_prefix("/api/v1/") else {
        return if path == "/" {
            Ok(page::page())
        } else {
            Err(nothing_here())
        };
    };
    let found = match what {
        "status" => control.status(),
        "sources" => json!({ "sources": control.sources() }),
        "destinations" => json!({ "destinations": control.destinations() }),
        "deliveries" => recent::list(control.recent(), &filter()?),
        "tail" if request.method() == Method::GET => {
            let reader = (&admin.readers, ends.lease, admin.stop.clone());
            return tail::tail(control.recent(), filter()?, request.headers(), reader);
        }
        "tail" => return Err(Refusal::method("GET")),
        _ => match what.strip_prefix("deliveries/") {
            Some(id) => {
                let unknown = || Refusal::new(StatusCode::NOT_FOUND, "no recent request has this id or delivery");
                recent::one(control.recent(), id).ok_or_else(unknown)?
            }
            None if order_of(what).is_some() => return Err(Refusal::method("POST")),
            None => return Err(nothing_here()),
        },
    };
    Ok(answer::json(StatusCode::OK, found))
}

/// The source and the order that a path names; the source is empty where the order is for all of the sidecar.
fn order_of(what: &str) -> Option<(&str, &'static str)> {
    if let Some(order) = ORDERS.into_iter().find(|order| *order == what) {
        return Some(("", order));
    }
    let rest = what.strip_prefix("sources/")?;
    ORDERS_OF_A_SOURCE
        .into_iter()
        .find_map(|order| Some((rest.strip_suffix(order)?, order)))
}

/// What changes something.
async fn order(request: Request<Incoming>, admin: &Admin) -> Result<Answer, Refusal> {
    let control = &*admin.control;
    let path = request.uri().path().to_owned();
    let what = path.strip_prefix("/api/v1/").unwrap_or("");
    let Some((name, order)) = order_of(what) else {
        let read_only = path == "/" || LOOKS.contains(&what) || what.starts_with("deliveries/");
        return Err(if read_only {
            Refusal::method("GET, HEAD")
        } else {
            nothing_here()
        });
    };
    let body = change(request, admin.patience).await?;
    match order {
        "reload" => operate::reload(control).await,
        "log-level" => operate::log_level(&body, control),
        "drain" => {
            control.drain();
            Ok(answer::json(StatusCode::ACCEPTED, json!({ "draining": true })))
        }
        "/send" => operate::send(name, &body, control).await,
        "/enroll" => operate::enroll(name, &body, control),
        _ => forget(name, &body, control).await,
    }
}

fn nothing_here() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "nothing is here; GET / says what there is")
}

/// Lets a change pass and gives its body.
async fn change(request: Request<Incoming>, patience: Duration) -> Result<Bytes, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::method("POST"));
    }
    guard::admit_change(&request)?;
    match timeout(patience, read(request.into_body())).await {
        Ok(body) => body,
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

async fn read(mut body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB");
    if body.size_hint().lower() > LONGEST_BODY as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > LONGEST_BODY {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// The body of `POST /api/v1/sources/NAME/forget`: one delivery, or what was delivered lately.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    delivery: Option<String>,
    /// `10m`, `1h 30m`.
    since: Option<String>,
    /// A glob, as `events` of the configuration has it.
    event: Option<String>,
}

const FORGET_BODY: &str =
    "the body must be {\"delivery\": \"…\"} or {\"since\": \"10m\", \"event\": \"…\"}, the event being optional";

async fn forget(name: &str, body: &Bytes, control: &dyn Control) -> Result<Answer, Refusal> {
    let bad = |error: &str| Refusal::new(StatusCode::BAD_REQUEST, format!("{FORGET_BODY}{error}"));
    let source = SourceName::parse(name).map_err(|_| no_source())?;
    let wish: Forget = serde_json::from_slice(body).map_err(|error| bad(&format!(": {error}")))?;
    match (wish.delivery, wish.since) {
        (Some(delivery), None) if wish.event.is_none() => forget_one(&source, &delivery, control).await,
        (None, Some(since)) => forget_since(&source, &since, wish.event, control).await,
        _ => Err(bad("")),
    }
}

async fn forget_since(
    source: &SourceName,
    since: &str,
    event: Option<String>,
    control: &dyn Control,
) -> Result<Answer, Refusal> {
    let within = since.parse::<jiff::SignedDuration>().ok();
    let within = within.and_then(|within| Duration::try_from(within).ok());
    let Some(within) = within.filter(|within| !within.is_zero()) else {
        let text = format!("`{since}` is not a time such as 90s, 10m or 2h");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    };
    let glob = event.clone().map(Glob::new);
    let recalled = control.forget_since(source, within, glob).await.map_err(refusal)?;
    Ok(answer::json(
        StatusCode::OK,
        json!({
            "source": source.as_str(),
            "since": since,
            "event": event,
            "forgotten": recalled.deliverable,
            "complete": recalled.complete,
        }),
    ))
}

async fn forget_one(source: &SourceName, delivery: &str, control: &dyn Control) -> Result<Answer, Refusal> {
    match control.forget(source, delivery).await {
        Forgotten::Deliverable => Ok(answer::json(
            StatusCode::OK,
            json!({ "source": source.as_str(), "delivery": delivery, "forgotten": true }),
        )),
        forgotten => Err(refusal(forgotten)),
    }
}

fn no_source() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no source has this name")
}

fn refusal(forgotten: Forgotten) -> Refusal {
    match forgotten {
        Forgotten::Deliverable | Forgotten::Unknown => Refusal::new(
            StatusCode::NOT_FOUND,
            "the ledger has no delivered record of this delivery",
        ),
        Forgotten::NoSource => no_source(),
        Forgotten::InFlight => Refusal::new(StatusCode::CONFLICT, "this delivery is in flight: wait for its end"),
        Forgotten::NoLedger => Refusal::new(
            StatusCode::CONFLICT,
            "this source has no replay ledger, so nothing holds a redelivery back",
        ),
        Forgotten::Unavailable(reason) => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the ledger cannot be asked: {reason}"),
        ),
    }
}

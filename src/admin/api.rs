//! The admin listener: a plain page, and the JSON API under `/api/v1`.

use super::{
    Access, Bounds, Control, Forgotten,
    answer::{self, Answer, Refusal},
    guard,
    listener::Ends,
};
use crate::event::{Glob, SourceName};
use bytes::BytesMut;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

const LONGEST_BODY: usize = 64 * 1024;

const PAGE: &str = include_str!("page.html");

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    ends: Ends,
    control: Arc<dyn Control>,
    access: Arc<Access>,
    bounds: Bounds,
) -> Answer {
    let answered = async {
        guard::admit(&request, ends, &access)?;
        route(request, &*control, bounds.body).await
    };
    answered.await.unwrap_or_else(Refusal::into_answer)
}

async fn route(request: Request<Incoming>, control: &dyn Control, patience: Duration) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.strip_prefix("/api/v1/") {
        None if path == "/" && read => Ok(answer::of(StatusCode::OK, "text/html; charset=utf-8", PAGE)),
        Some("status") if read => Ok(answer::json(StatusCode::OK, control.status())),
        Some("sources") if read => Ok(answer::json(StatusCode::OK, json!({ "sources": control.sources() }))),
        None if path == "/" => Err(Refusal::method("GET, HEAD")),
        Some("status" | "sources") => Err(Refusal::method("GET, HEAD")),
        Some("drain") => {
            change(request, patience).await?;
            control.drain();
            Ok(answer::json(StatusCode::ACCEPTED, json!({ "draining": true })))
        }
        Some(rest) => match rest
            .strip_prefix("sources/")
            .and_then(|rest| rest.strip_suffix("/forget"))
        {
            Some(name) => {
                let body = change(request, patience).await?;
                forget(name, &body, control).await
            }
            None => Err(nothing_here()),
        },
        None => Err(nothing_here()),
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

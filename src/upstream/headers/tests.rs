//! Section 4 of the contract, sentence by sentence.

mod documented;
mod stated;
mod withheld;

use super::*;
use crate::{
    event::{DestinationName, IdentityHasher, Secret},
    upstream::{DestinationUrl, Lane},
};
use bytes::Bytes;
use http::Request;
use std::{collections::BTreeMap, time::Duration};

/// A request with these lines (`Name: value`), and `Host: in.example` first.
fn request(method: &str, target: &str, lines: &[&str]) -> Parts {
    let mut builder = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "in.example:8443");
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header line");
        builder = builder.header(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    builder.body(()).expect("a request").into_parts().0
}

fn plain() -> DestinationSpec {
    DestinationSpec {
        name: DestinationName::upstream(),
        url: DestinationUrl::parse("http://127.0.0.1:3000", true).expect("a URL"),
        tls: None,
        timeout: Duration::from_secs(10),
        connect_wait: Duration::ZERO,
        headers: Vec::new(),
        map_status: BTreeMap::new(),
        forward_credentials: true,
        sign: None,
        sign_unverified: false,
        lane: Lane::default(),
    }
}

fn other() -> DestinationSpec {
    DestinationSpec {
        name: DestinationName::parse("billing").expect("a name"),
        url: DestinationUrl::parse("http://billing:3000/hooks?ours=1", false).expect("a URL"),
        tls: None,
        forward_credentials: false,
        ..plain()
    }
}

fn key(source: &SourceName) -> DeliveryKey {
    DeliveryKey::new("", source, "/p", &IdentityHasher::new("id").finish())
}

/// Composes with a passage that `change` may alter.
fn composed(head: &Parts, body: &str, to: &DestinationSpec, change: impl FnOnce(&mut Passage<'_>)) -> OutboundRequest {
    let source = SourceName::parse("acme").expect("a name");
    let provider = ProviderName::parse("github").expect("a name");
    let event = EventName::parse("pull_request.opened").expect("an event");
    let key = key(&source);
    let credential_headers = [header::AUTHORIZATION, HeaderName::from_static("x-gitlab-token")];
    let credential_query = ["token".to_owned()];
    let mut passage = Passage {
        source: &source,
        provider: &provider,
        event: Some(&event),
        delivery: HeaderValue::from_static("evt_1"),
        key: &key,
        attempt: 1,
        verified: "signature",
        local_ledger: false,
        repeat: None,
        redelivery: false,
        duplicate: false,
        forwarded_for: HeaderValue::from_static("203.0.113.7, 10.0.0.2"),
        proto: "https",
        host: head.headers.get(header::HOST).cloned(),
        forwarded_host: head.headers.get(header::HOST).cloned(),
        request_id: HeaderValue::from_static("our-request"),
        traceparent: HeaderValue::from_static("00-ours"),
        credential_headers: &credential_headers,
        credential_query: &credential_query,
        at: Timestamp::from_secs(1_700_000_000),
    };
    change(&mut passage);
    compose(
        head,
        head.headers.clone(),
        &Frames::from(Bytes::copy_from_slice(body.as_bytes())),
        passage,
        to,
    )
    .expect("composed")
}

fn values<'a>(request: &'a OutboundRequest, name: &str) -> Vec<&'a [u8]> {
    request
        .headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect()
}

#[track_caller]
fn assert_value(request: &OutboundRequest, name: &str, expected: Option<&str>) {
    let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
    assert_eq!(values(request, name), expected, "{name}");
}

//! The identity facts of all presets: each states a kind with its reason, and official example payloads hold what it says.
#![allow(missing_docs, clippy::disallowed_methods, reason = "a test reads its files")]

use bytes::Bytes;
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{
        self, Encoding, Evidence, Finding, Fresh, KeyText, Options, Preset, Provider, Unsigned,
        preset::{BodyRule, EventShape, IdentityKind},
    },
};
use http::{Method, Request};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Parts of a GitHub body that surround the event: their times prove nothing about it.
const SURROUNDINGS: [&str; 5] = [
    "/repository",
    "/organization",
    "/enterprise",
    "/installation",
    "/sender",
];

/// `tests/identity/PRESET.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples {
    /// The package or page that the bodies come from.
    source: String,
    examples: Vec<Example>,
}

/// One example body and what it proves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    event: String,
    verdict: Verdict,
    /// The field that makes the body unique.
    pointer: Option<String>,
    /// The reason why the body may repeat.
    because: Option<String>,
    body: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Unique,
    Repeatable,
}

fn examples() -> BTreeMap<String, Examples> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity");
    let files = fs::read_dir(folder).expect("the folder of example bodies");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let text = fs::read_to_string(&path).expect("its text");
            let examples = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (name.to_owned(), examples)
        })
        .collect()
}

fn named(name: &str) -> &'static Preset {
    provider::preset(name).unwrap_or_else(|| panic!("there is no preset `{name}`"))
}

/// The verdict of the preset's rules. The event's name is not read: the header that bears it is not signed.
fn judged(preset: &Preset, body: &Value) -> Verdict {
    let any = |shapes: &[EventShape]| shapes.iter().any(|shape| fits(shape, body));
    let repeats = if preset.unique_events.is_empty() {
        preset.body != Some(BodyRule::Unique) && !bears_id(preset, body) || any(&preset.repeatable_events)
    } else {
        !any(&preset.unique_events)
    };
    if repeats { Verdict::Repeatable } else { Verdict::Unique }
}

fn fits(shape: &EventShape, body: &Value) -> bool {
    let action = body.pointer("/action").and_then(Value::as_str);
    (shape.actions.is_empty() || action.is_some_and(|action| shape.actions.iter().any(|known| known == action)))
        && shape.fields.iter().all(|pointer| body.pointer(pointer).is_some())
        && !shape.absent.iter().any(|pointer| body.pointer(pointer).is_some())
}

/// Is an id of the preset a member of this signed body?
fn bears_id(preset: &Preset, body: &Value) -> bool {
    let fields = preset.id.iter().flat_map(|id| &id.from.0);
    states(preset) == IdentityKind::SignedId
        && fields
            .filter_map(|field| field.strip_prefix("json:"))
            .any(|pointer| body.pointer(pointer).is_some())
}

fn states(preset: &Preset) -> IdentityKind {
    let rule = preset.identity.as_ref();
    rule.unwrap_or_else(|| panic!("{} states no identity", preset.name))
        .kind
}

#[test]
fn every_preset_states_its_kind_and_the_fact_it_rests_on() {
    let mut reasons = BTreeMap::<&str, &str>::new();
    let mut count = 0;
    for name in provider::names() {
        let preset = named(name);
        let rule = preset
            .identity
            .as_ref()
            .unwrap_or_else(|| panic!("{name} states no identity"));
        assert!(
            rule.reason.len() >= 40 && rule.reason.ends_with('.'),
            "{name}: {}",
            rule.reason
        );
        if provider::alias_of(name).is_none() {
            let other = reasons.insert(&rule.reason, name);
            assert_eq!(other, None, "{name} has the reason of another preset");
        }
        count += 1;
    }
    assert_eq!(count, 128, "a preset was added or removed");
}

/// The other fields of a preset decide its kind; `identity` only says it.
#[test]
fn a_stated_kind_is_what_the_fields_give() {
    for name in provider::names() {
        let preset = named(name);
        let listing = preset.listing();
        let (body, timed, id) = (preset.body, preset.timestamp.is_some(), preset.id.is_some());
        let bare = listing.covers == provider::preset::Covers::Nothing;
        match states(preset) {
            IdentityKind::SignedId => assert!(id && !bare && listing.id_signed, "{name}: no signed id"),
            IdentityKind::UniqueBody => assert!(body == Some(BodyRule::Unique) && !bare, "{name}: not `body: unique`"),
            IdentityKind::BodyAndTime => assert!(
                body == Some(BodyRule::MayRepeat) && timed && !bare,
                "{name}: not `body: may_repeat` with a signed time"
            ),
            IdentityKind::Doorbell => assert!(
                body == Some(BodyRule::MayRepeat) && !timed && !bare,
                "{name}: not `body: may_repeat` without a signed time"
            ),
            IdentityKind::NamedId => assert!(id && bare, "{name}: no id beside a proof of the sender"),
            IdentityKind::None => assert!(!id && bare, "{name}: an id, or a signature over the content"),
        }
        assert!(
            preset.unique_events.is_empty() || preset.repeatable_events.is_empty(),
            "{name}: both lists of events"
        );
        assert!(
            preset.unique_events.is_empty() && preset.repeatable_events.is_empty() || body == Some(BodyRule::Unique),
            "{name}: a list of events without `body: unique`"
        );
        // Without an unsigned value a repeat of a body has the values of a retry, and would be answered `duplicate`.
        assert!(
            preset.unique_events.is_empty() && preset.repeatable_events.is_empty() || id && !listing.id_signed,
            "{name}: nothing tells a repeat from a retry"
        );
    }
}

#[test]
fn official_examples_hold_what_the_presets_say() {
    for (name, file) in examples() {
        let preset = named(&name);
        assert!(!file.source.is_empty(), "{name}: no source");
        let mut events = BTreeSet::new();
        for example in &file.examples {
            let what = format!(
                "{name}: {} {}",
                example.event,
                example.body.get("action").unwrap_or(&Value::Null)
            );
            assert_eq!(judged(preset, &example.body), example.verdict, "{what}");
            match (example.verdict, &example.pointer, &example.because) {
                (Verdict::Unique, Some(pointer), None) => {
                    let value = example.body.pointer(pointer);
                    let proves = value.is_some_and(|value| value.is_string() || value.is_number());
                    assert!(proves, "{what}: no value at {pointer}");
                }
                (Verdict::Repeatable, None, Some(because)) => assert!(!because.is_empty(), "{what}: no reason"),
                _ => panic!("{what}: a unique body has a pointer, a repeatable one a reason"),
            }
            events.insert(&example.event);
        }
        assert!(events.len() >= 2, "{name}: fewer than two events");
    }
}

/// Every preset with a list of events was judged on examples, and every shape of a list fits one of them.
#[test]
fn every_listed_shape_has_an_example() {
    let examples = examples();
    for name in provider::names() {
        let preset = named(name);
        for shape in preset.unique_events.iter().chain(&preset.repeatable_events) {
            let file = examples.get(name).unwrap_or_else(|| panic!("{name} has no examples"));
            let found = file.examples.iter().any(|example| fits(shape, &example.body));
            let not_an_event = shape.fields == [""];
            assert!(found != not_an_event, "{name}: {} and its examples", shape.event);
        }
    }
}

#[test]
fn github_is_judged_on_every_event_of_the_package() {
    let examples = examples();
    let github = &examples["github"].examples;
    let events: BTreeSet<_> = github.iter().map(|example| example.event.as_str()).collect();
    assert_eq!(events.len(), 64, "the package has 64 events");
    for verdict in [Verdict::Unique, Verdict::Repeatable] {
        assert!(github.iter().filter(|example| example.verdict == verdict).count() > 60);
    }
    for example in github {
        let pointer = example.pointer.as_deref().unwrap_or_default();
        let surrounds = SURROUNDINGS.iter().any(|part| pointer.starts_with(part));
        // A push changes its repository's `pushed_at`.
        let push = example.event == "push" && pointer == "/repository/pushed_at";
        assert!(!surrounds || push, "{}: {pointer} proves nothing", example.event);
    }
    for shape in &named("github").unique_events {
        for pointer in &shape.fields {
            let surrounds = SURROUNDINGS.iter().any(|part| pointer.starts_with(part));
            assert!(!surrounds, "{}: {pointer}", shape.event);
        }
    }
}

/// Bodies that once were swallowed: each is delivered a second time, because the preset lets it repeat.
#[test]
fn what_was_swallowed_may_repeat() {
    for (name, kind) in [
        ("dropbox", IdentityKind::Doorbell),
        ("doppler", IdentityKind::Doorbell),
        ("hookdeck", IdentityKind::Doorbell),
        ("midtrans", IdentityKind::Doorbell),
        ("plaid", IdentityKind::BodyAndTime),
        ("revolut", IdentityKind::BodyAndTime),
        ("grafana", IdentityKind::BodyAndTime),
        ("zendesk", IdentityKind::BodyAndTime),
        ("sanity", IdentityKind::BodyAndTime),
    ] {
        let preset = named(name);
        assert_eq!(
            (states(preset), preset.body),
            (kind, Some(BodyRule::MayRepeat)),
            "{name}"
        );
    }
    let github = named("github");
    for body in [
        r#"{"action":"revoked"}"#,
        r#"{"action":"blocked","blocked_user":{"id":1}}"#,
        r#"{"ref":"main","ref_type":"branch"}"#,
    ] {
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(judged(github, &body), Verdict::Repeatable, "{body}");
    }
}

/// What verification reads of a request with this body, signed as the preset's provider signs.
fn evidence(preset: &Preset, body: &Bytes, event: &str) -> Evidence {
    let name = &preset.name;
    let provider =
        Provider::compile(preset, &Options::default()).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let secret = KeyText {
        secret: Secret::new(b"a secret of the tests".to_vec()),
        encoding: Encoding::Preset,
        allow_short: false,
    };
    let keys = provider.keys(&[secret]).expect("keys");
    let now = Timestamp::from_secs(1_800_000_000);
    let request = Unsigned {
        method: &Method::POST,
        target: "/hook",
        content_type: Some("application/json"),
        body,
        id: None,
        event: Some(event),
        at: now,
    };
    let headers = provider
        .sign(&request, &keys)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut builder = Request::post("/hook").header("Content-Type", "application/json");
    for (header, value) in headers {
        builder = builder.header(header, value);
    }
    let (head, ()) = builder.body(()).expect("a request").into_parts();
    let mut frames = Frames::default();
    frames.push(body.clone());
    let envelope = Envelope {
        head: &head,
        body: &frames,
    };
    match provider.verify(envelope, &keys, now) {
        Ok(Finding::Authentic(evidence)) => evidence,
        _ => panic!("{name}: not verified"),
    }
}

/// The product reads the same verdict from the signed bytes.
#[test]
fn verification_finds_what_the_examples_say() {
    let mut count = 0;
    for (name, file) in examples() {
        let preset = named(&name);
        if preset.unique_events.is_empty() && preset.repeatable_events.is_empty() {
            continue;
        }
        for example in &file.examples {
            let body = Bytes::from(serde_json::to_vec(&example.body).expect("JSON"));
            let evidence = evidence(preset, &body, &example.event);
            let what = format!(
                "{name}: {} {}",
                example.event,
                example.body.get("action").unwrap_or(&Value::Null)
            );
            assert_eq!(evidence.kind, IdentityKind::UniqueBody, "{what}");
            assert_eq!(evidence.repeatable, example.verdict == Verdict::Repeatable, "{what}");
            count += 1;
        }
    }
    assert!(count > 200, "{count} examples");
}

/// Nothing in a body that no provider sends proves that it may repeat.
#[test]
fn a_body_that_is_not_an_event_may_not_repeat() {
    for name in ["github", "gitea", "forgejo", "bitbucket", "sentry"] {
        for body in ["{}", r#"{"a":1}"#] {
            let evidence = evidence(named(name), &Bytes::from_static(body.as_bytes()), "push");
            assert!(!evidence.repeatable, "{name}: {body}");
        }
    }
}

/// `send` and `dev` show a conflict on these.
#[test]
fn samples_of_common_events_are_unique() {
    for (name, event) in [
        ("github", "push"),
        ("github", "pull_request.opened"),
        ("bitbucket", "pullrequest:created"),
        ("sentry", "issue"),
        ("shopify", "orders/create"),
        ("woocommerce", "order.created"),
    ] {
        let preset = named(name);
        let provider =
            Provider::compile(preset, &Options::default()).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let fresh = Fresh {
            at: Timestamp::from_secs(1_800_000_000),
            nonce: [7; 16],
        };
        let sample = provider.sample(Some(event), fresh);
        let evidence = evidence(preset, &sample.body, event);
        assert!(!evidence.repeatable, "{name}: {event}");
    }
}

//! Why a signature does not match: near misses are tried one at a time and told in words.
//!
//! Runs after a refusal only, off the hot path. It changes no verdict, names no expected signature, quotes no secret.

mod near;

use super::{KeyText, Provider, Refusal, evidence::Cause, field::Scene, freshness, message, preset, registry};
use crate::event::{Envelope, Timestamp};
use http::{HeaderMap, header};

/// Sentences for an operator, the likeliest explanation first.
pub fn diagnose(
    provider: &Provider,
    secrets: &[KeyText],
    envelope: Envelope<'_>,
    now: Timestamp,
    refusal: &Refusal,
) -> Vec<String> {
    let mut said = Vec::new();
    match refusal {
        Refusal::Stale { age_millis } => said.push(clock(provider, envelope, *age_millis, now)),
        Refusal::Malformed(cause) => said.push(cause.to_string()),
        Refusal::Unverified(cause) => match cause {
            Cause::SignatureMissing(at) => missing(provider, secrets, &envelope.head.headers, at, &mut said),
            Cause::SignatureMalformed(at) => malformed(&envelope.head.headers, at, &mut said),
            Cause::SignatureDoubled(at) | Cause::TimestampDoubled(at) | Cause::FieldDoubled(at) => said.push(format!(
                "`{at}` came more than once: a proxy added or merged one, or somebody tries a second one; exactly one is expected"
            )),
            Cause::TimestampMalformed(at) => said.push(format!(
                "`{at}` is not a plain time in the provider's unit: seconds and milliseconds confused, or rewritten on its way?"
            )),
            Cause::SignatureWrong { .. } | Cause::BodyHashWrong(_) => {
                near::misses(provider, secrets, envelope, now, &mut said);
                if said.is_empty() && matches!(cause, Cause::BodyHashWrong(_)) {
                    said.push(cause.to_string());
                }
                lengths(provider, envelope, &mut said);
                encoded(&envelope, &mut said);
                drift(provider, envelope, now, &mut said);
                elsewhere(provider, &envelope.head.headers, &mut said);
                mode(&envelope, &mut said);
            }
            Cause::NotCovered(at) => said.push(not_covered(provider, envelope, at)),
            Cause::TokenWrong { .. } => near::misses(provider, secrets, envelope, now, &mut said),
            other => said.push(other.to_string()),
        },
    }
    if said.is_empty() {
        said.push(
            "nothing near matches: most likely the secret is another one (of the test mode, of another endpoint, or rotated)"
                .to_owned(),
        );
    }
    said
}

fn clock(provider: &Provider, envelope: Envelope<'_>, age_millis: i64, now: Timestamp) -> String {
    let seconds = age_millis.unsigned_abs() / 1000;
    let scene = Scene::of_head(envelope.head, None, provider.plan.signature.as_ref());
    if let Some(message) = provider.plan.message()
        && let Some(ago) = message::expired(message, &scene, now)
    {
        return format!(
            "its `expires` was {ago} s ago, {seconds} s after it was signed: an old request sent again, or the clocks differ (check NTP)"
        );
    }
    let Some(window) = provider.facts().tolerance else {
        return format!("signed {seconds} s away from this clock");
    };
    if age_millis >= 0 {
        let past = window.past.as_secs();
        format!(
            "signed {seconds} s ago, tolerance {past} s: an old request sent again, or the clocks differ (check NTP)"
        )
    } else {
        let future = window.future.as_secs();
        format!("signed {seconds} s in the future, tolerance {future} s: the clocks differ (check NTP)")
    }
}

/// Also with a wrong signature the time tells whether this is an old capture.
fn drift(provider: &Provider, envelope: Envelope<'_>, now: Timestamp, said: &mut Vec<String>) {
    let plan = &provider.plan;
    let scene = Scene::of_head(envelope.head, None, plan.signature.as_ref());
    if let Some(time) = &plan.time
        && time.field.in_head()
        && let Ok((_, at)) = super::verify::read_time(time, &scene)
        && let Some(age) = time
            .window
            .and_then(|window| freshness::outside(at, time.unit, window, now))
    {
        said.push(format!("besides, it is {}", clock(provider, envelope, age, now)));
    }
}

/// What a signature of RFC 9421 covers in place of what it must.
fn not_covered(provider: &Provider, envelope: Envelope<'_>, at: &str) -> String {
    let scene = Scene::of_head(envelope.head, None, provider.plan.signature.as_ref());
    let covered = provider
        .plan
        .message()
        .map(|message| message::covered_by(message, &scene));
    let covered: Vec<String> = covered
        .unwrap_or_default()
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    let instead = if covered.is_empty() {
        "it covers nothing".to_owned()
    } else {
        format!("it covers {}", covered.join(", "))
    };
    format!(
        "the signature does not cover `{at}`, so anybody could change it; {instead}: have the sender cover it, or name other components in a scheme of your own"
    )
}

/// Secrets of test and live mode are taken for one another.
fn mode(envelope: &Envelope<'_>, said: &mut Vec<String>) {
    if !said.is_empty() || envelope.body.len() > near::MAX_BODY {
        return;
    }
    let body = envelope.body.joined();
    let document = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let (mode, other) = match document.get("livemode").and_then(serde_json::Value::as_bool) {
        Some(true) => ("live", "test"),
        Some(false) => ("test", "live"),
        None => return,
    };
    said.push(format!(
        "the event is of {mode} mode (`livemode`), whose secret is another one than that of {other} mode"
    ));
}

fn missing(provider: &Provider, secrets: &[KeyText], headers: &HeaderMap, at: &str, said: &mut Vec<String>) {
    let signature = headers
        .get(message::SIGNATURE)
        .map(http::HeaderValue::as_bytes)
        .unwrap_or_default();
    if at == message::SIGNATURE_INPUT.as_str() && signature.windows(6).any(|part| part == b"keyId=") {
        said.push(
            "`Signature` is of the older draft (`keyId=\"…\",headers=\"…\"`), which is not RFC 9421: the sender must send `Signature-Input` too"
                .to_owned(),
        );
    }
    if at.eq_ignore_ascii_case("x-hub-signature-256") && headers.contains_key("x-hub-signature") {
        said.push(
            "only the SHA-1 header `X-Hub-Signature` is there, which is not accepted: the sender must send `X-Hub-Signature-256`"
                .to_owned(),
        );
    }
    let seen = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| {
            ["sign", "hmac", "token", "auth", "secret", "verif"]
                .iter()
                .any(|word| name.contains(word))
        })
        .filter(|name| !tells(name, secrets))
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>();
    if seen.is_empty() {
        said.push(format!(
            "no `{at}` and no other header that looks like a signature: no secret is set at the provider, or a proxy drops it"
        ));
    } else {
        said.push(format!("no `{at}`, but there is {}", seen.join(", ")));
    }
    elsewhere(provider, headers, said);
}

/// Does a header's name hold a secret? Whoever sent it has put it there.
fn tells(name: &str, secrets: &[KeyText]) -> bool {
    secrets.iter().map(|text| text.secret.expose()).any(|secret| {
        let mut parts = name.as_bytes().windows(secret.len().max(1));
        parts.any(|part| part.eq_ignore_ascii_case(secret))
    })
}

/// Another provider whose signature headers are all there.
fn elsewhere(provider: &Provider, headers: &HeaderMap, said: &mut Vec<String>) {
    let own = provider.plan.credential_places().0;
    for name in registry::names().filter(|name| registry::alias_of(name).is_none()) {
        let Some(preset) = registry::preset(name) else { continue };
        let places = preset.signature.iter().flat_map(|rule| &rule.from.0);
        let mut wanted: Vec<&str> = places.filter_map(|place| place.strip_prefix("header:")).collect();
        if preset.message_signature.is_some() {
            wanted = vec!["signature-input", "signature"];
        }
        let foreign = !wanted.is_empty()
            && wanted.iter().all(|name| headers.contains_key(*name))
            && !wanted
                .iter()
                .any(|name| *name == "Authorization" || own.iter().any(|own| own.as_str().eq_ignore_ascii_case(name)));
        if foreign {
            said.push(format!(
                "this looks like a request of {} (provider `{name}`)",
                preset.title
            ));
            return;
        }
    }
}

fn malformed(headers: &HeaderMap, at: &str, said: &mut Vec<String>) {
    let text = headers.get(at).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let last = text
        .rsplit(|byte| matches!(byte, b'=' | b',' | b' '))
        .next()
        .unwrap_or_default();
    let hex = last.iter().all(u8::is_ascii_hexdigit);
    said.push(match last.len() {
        _ if text.is_empty() => format!("`{at}` is there but empty"),
        40 if hex => format!("`{at}` holds 40 hex digits, which is SHA-1: is it the header of another scheme?"),
        _ if hex && last.iter().any(u8::is_ascii_uppercase) => {
            format!("`{at}` is in upper-case hex; this provider writes lower case, so something rewrote it")
        }
        length if hex && length > 0 => {
            format!("`{at}` holds {length} hex digits: cut off, or without the prefix that this provider writes")
        }
        _ => format!("`{at}` has not this provider's form: another prefix, encoding or separator, or cut off"),
    });
}

/// Is the signature shorter or longer than this algorithm makes it?
fn lengths(provider: &Provider, envelope: Envelope<'_>, said: &mut Vec<String>) {
    let expected = match provider.plan.algorithm {
        preset::Algorithm::HmacSha1 | preset::Algorithm::Sha1 => 20,
        preset::Algorithm::HmacSha256 | preset::Algorithm::Sha256 => 32,
        preset::Algorithm::HmacSha512 | preset::Algorithm::Sha512 | preset::Algorithm::Ed25519 => 64,
        _ => return,
    };
    let Some(signature) = provider.plan.signature.as_ref().filter(|signature| signature.in_head()) else {
        return;
    };
    let scene = Scene::of_head(envelope.head, None, Some(signature));
    let (mut right, mut other) = (false, None);
    let _ = signature.decoded(&scene, |bytes| {
        if bytes.len() == expected {
            right = true;
        } else {
            other = Some(bytes.len());
        }
    });
    if let (false, Some(length)) = (right, other) {
        said.push(format!(
            "the signature has {length} bytes where this scheme has {expected}: cut off, or of another scheme"
        ));
    }
}

fn encoded(envelope: &Envelope<'_>, said: &mut Vec<String>) {
    let first = envelope.body.iter().next();
    let gzip = first.is_some_and(|frame| frame.starts_with(&[0x1f, 0x8b]));
    if gzip || envelope.head.headers.contains_key(header::CONTENT_ENCODING) {
        said.push(
            "the body is compressed: was it compressed or unpacked on its way? The signature is over the bytes as sent"
                .to_owned(),
        );
    }
}

//! Every preset's header grammar: only what its provider really signed is accepted, whatever stands around it, whichever
//! way it is cut; a refusal is explained without a secret in it; and a handshake answers nothing that harms.
#[expect(dead_code, reason = "the suite reads more of a vector")]
#[path = "../../vectors/case.rs"]
mod case;
use crate::head;
use bytes::Bytes;
use case::Ready;
use hookward::{
    event::{Envelope, Frames},
    provider::{
        self, Answer, Evidence, Finding, Refusal, Verified,
        preset::{Algorithm, Covers},
    },
};
use http::{HeaderName, HeaderValue, Method, request::Parts};
use std::sync::LazyLock;

/// Larger vectors would only slow it down.
const MAX_BODY: usize = 4096;

/// A preset, by its name, with the requests that its vectors say are authentic under one set of secrets.
struct Subject {
    name: &'static str,
    ready: Ready,
    authentic: Vec<Authentic>,
    /// What is signed is made of a form's fields, so that two bodies may be the same form.
    sorts_form: bool,
    /// Who has one signature can make another one of the same text (ECDSA).
    malleable: bool,
}

struct Authentic {
    head: Parts,
    body: Bytes,
    evidence: Evidence,
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
    let own = provider::names().filter(|name| provider::alias_of(name).is_none());
    let subjects: Vec<Subject> = own.filter_map(subject).collect();
    let bases: usize = subjects.iter().map(|subject| subject.authentic.len()).sum();
    assert!(
        subjects.len() > 80 && bases > 200,
        "{} presets, {bases} requests",
        subjects.len()
    );
    subjects
});

fn subject(name: &'static str) -> Option<Subject> {
    let preset = provider::preset(name)?;
    let file = case::folder().join(format!("{name}.json"));
    let cases = case::read(&file);
    let accepted = || {
        cases
            .iter()
            .filter(|case| case.expect == "accept" && case.body().len() <= MAX_BODY)
    };
    let first = accepted().next()?;
    let ready = first.ready(preset).expect("the suite shows it");
    let like_first = accepted()
        .filter(|case| case.secrets == first.secrets && case.config == first.config && case.now_unix == first.now_unix);
    let authentic = like_first.filter_map(|case| {
        let (head, body) = (case.ready(preset).expect("the suite shows it").head, case.body());
        match verified(&ready, &head, &Frames::from(body.clone())) {
            Ok(Finding::Authentic(evidence)) => Some(Authentic { head, body, evidence }),
            _ => None,
        }
    });
    let authentic: Vec<Authentic> = authentic.collect();
    let signed = preset.signed.iter().flat_map(|signed| &signed.0);
    let sorts_form = signed
        .into_iter()
        .any(|text| text.contains("{form") || text.contains("{url_query_form}"));
    let algorithm = preset.algorithm.as_str();
    Some(Subject {
        name,
        ready,
        authentic,
        sorts_form,
        malleable: algorithm.contains("ecdsa") || algorithm.contains("es256"),
    })
}

fn verified(ready: &Ready, head: &Parts, body: &Frames) -> Result<Finding, Refusal> {
    ready.provider.verify(Envelope { head, body }, &ready.keys, ready.now)
}

pub fn check(data: &[u8]) {
    // The preset's name, the end of the line, what to do, and with what.
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (which, [action, rest @ ..]) = (&data[..end], &data[end + 1..]) else {
        return;
    };
    let named = SUBJECTS.iter().find(|subject| subject.name.as_bytes() == which);
    let any = which
        .iter()
        .fold(7_usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
    let subject = named.unwrap_or_else(|| &SUBJECTS[any % SUBJECTS.len()]);
    let made = if action % 2 == 0 || subject.authentic.is_empty() {
        head::of(rest).map(|(head, body)| (head, Bytes::copy_from_slice(body)))
    } else {
        let base = &subject.authentic[usize::from(*action / 8) % subject.authentic.len()];
        Some(changed(base, rest))
    };
    let Some((head, body)) = made else { return };
    let whole = verified(&subject.ready, &head, &Frames::from(body.clone()));
    let size = 1 + usize::from(*action / 8);
    let mut frames = Frames::default();
    body.chunks(size)
        .for_each(|piece| frames.push(Bytes::copy_from_slice(piece)));
    same(&whole, &verified(&subject.ready, &head, &frames));
    match &whole {
        Ok(Finding::Authentic(evidence)) => authentic(subject, evidence, &head, &body),
        Ok(Finding::Challenge(answer)) => harmless(subject, answer),
        Ok(Finding::Confirmation(confirmation)) => harmless(subject, &confirmation.answer),
        Err(refusal) => {
            assert!(!leaks(subject, &refusal.to_string()));
            if action & 4 != 0 {
                let envelope = Envelope {
                    head: &head,
                    body: &frames,
                };
                let said =
                    subject
                        .ready
                        .provider
                        .diagnose(&subject.ready.secrets, envelope, subject.ready.now, refusal);
                assert!(
                    !said.is_empty() && said.iter().all(|sentence| !leaks(subject, sentence)),
                    "{said:?}"
                );
                same(&whole, &verified(&subject.ready, &head, &frames));
                let _ = subject.ready.provider.stated_time(envelope, &subject.ready.keys);
            }
        }
    }
}

/// An authentic request after up to eight changes of four bytes each.
fn changed(base: &Authentic, mut rest: &[u8]) -> (Parts, Bytes) {
    let (mut head, mut body) = (base.head.clone(), base.body.to_vec());
    for _ in 0..8 {
        let [change, place, more, byte, after @ ..] = rest else {
            break;
        };
        rest = after;
        let number = usize::from(u16::from_be_bytes([*place, *more]));
        let at = number % (body.len() + 1);
        let name = head
            .headers
            .keys()
            .nth(number % head.headers.keys_len().max(1))
            .cloned();
        match change % 10 {
            0 if at < body.len() => body[at] ^= byte,
            1 => body.truncate(at),
            2 => body.insert(at, *byte),
            3 => {
                // One byte of one header.
                let Some(name) = name else { continue };
                let mut value = head.headers[&name].as_bytes().to_vec();
                if value.is_empty() {
                    continue;
                }
                let at = usize::from(*byte) % value.len();
                value[at] ^= 1 << (place % 7);
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    head.headers.insert(name, value);
                }
            }
            4 => drop(name.map(|name| head.headers.remove(name))),
            5 => {
                // Once more, as it is or changed.
                let Some(name) = name else { continue };
                let again = [head.headers[&name].as_bytes(), &[*byte]].concat();
                if let Ok(value) = HeaderValue::from_bytes(if *byte == 0 { &again[..again.len() - 1] } else { &again })
                {
                    head.headers.append(name, value);
                }
            }
            6 => {
                // Any header at all.
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let (line, after) = rest.split_at(end);
                rest = after.get(1..).unwrap_or_default();
                let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
                let (name, value) = (
                    HeaderName::from_bytes(&line[..colon]),
                    line.get(colon + 1..).unwrap_or_default(),
                );
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) {
                    head.headers.append(name, value);
                }
            }
            7 => {
                let mut target = head.uri.to_string().into_bytes();
                let at = 1 + number % target.len();
                target.insert(at.min(target.len()), *byte);
                if let Some(uri) = String::from_utf8(target).ok().and_then(|target| target.parse().ok()) {
                    head.uri = uri;
                }
            }
            8 => head.method = [Method::GET, Method::PUT, Method::POST, Method::HEAD][number % 4].clone(),
            _ => body.extend_from_slice(&rest[..rest.len().min(number % 64)]),
        }
    }
    (head, body.into())
}

fn same(one: &Result<Finding, Refusal>, other: &Result<Finding, Refusal>) {
    match (one, other) {
        (Ok(Finding::Authentic(one)), Ok(Finding::Authentic(other))) => {
            assert!(one.identity == other.identity && one.mac == other.mac && one.id == other.id);
            assert!(one.events == other.events && one.secret == other.secret && one.signed_at == other.signed_at);
            assert_eq!((one.verified, one.repeatable), (other.verified, other.repeatable));
        }
        (Ok(Finding::Challenge(one)), Ok(Finding::Challenge(other))) => assert_eq!(one, other),
        (Ok(Finding::Confirmation(one)), Ok(Finding::Confirmation(other))) => {
            assert!(one.answer == other.answer && one.url == other.url);
        }
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("the frames of a body change its verdict"),
    }
}

/// Nobody but the provider can make a signature, so it is one of those that are known; and what it covers is as it was.
fn authentic(subject: &Subject, evidence: &Evidence, head: &Parts, body: &Bytes) {
    let (facts, name) = (subject.ready.provider.facts(), subject.name);
    match evidence.verified {
        Verified::Signature => {
            let known = |one: &&Authentic| subject.malleable || one.evidence.mac == evidence.mac;
            assert!(
                subject.authentic.iter().any(|one| known(&one)),
                "{name}: a signature that nobody made"
            );
            if facts.covers == Covers::Body && !subject.sorts_form {
                let mut alike = subject.authentic.iter().filter(known).filter(|one| one.body == *body);
                // Event and account may stand in headers that nobody signs, and enter the replay key.
                let reads_alike = |one: &Authentic| {
                    let all = |head: &Parts, name| head.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
                    facts
                        .read_headers
                        .iter()
                        .all(|name| all(head, name) == all(&one.head, name))
                };
                assert!(
                    alike.any(|one| !reads_alike(one) || one.evidence.identity == evidence.identity),
                    "{name}: another body or delivery"
                );
            }
        }
        Verified::Token => {
            let secrets = || subject.ready.secrets.iter().map(|text| text.secret.expose());
            let target = head.uri.to_string();
            let text = head
                .headers
                .values()
                .map(HeaderValue::as_bytes)
                .chain([target.as_bytes(), &body[..]]);
            let bears = text.into_iter().any(|text| {
                secrets().any(|secret| {
                    contains(text, secret) || contains(text, data_encoding::BASE64.encode(secret).as_bytes())
                })
            });
            assert!(
                bears || target.contains('%') || body.contains(&b'%') || body.contains(&b'\\'),
                "{name}: a token that is none"
            );
        }
        Verified::None => {
            let preset = provider::preset(name).expect("it is in the list");
            assert_eq!(preset.algorithm, Algorithm::None, "{name}");
        }
    }
}

/// A handshake's answer is short, no page, and has no secret in it.
fn harmless(subject: &Subject, answer: &Answer) {
    let header = |name: &str| -> Vec<&[u8]> {
        let named = answer.headers.iter().filter(|(known, _)| *known == name);
        named.map(|(_, value)| value.as_bytes()).collect()
    };
    assert!(answer.status.is_success() && answer.body.len() <= 1024);
    assert_eq!(header("x-content-type-options"), [b"nosniff"]);
    let page = |kind: &[u8]| contains(kind, b"html") || contains(kind, b"xml") || contains(kind, b"script");
    assert!(header("content-type").into_iter().all(|kind| !page(kind)));
    let values = answer.headers.iter().map(|(_, value)| value.as_bytes());
    for text in values.chain([&answer.body[..]]) {
        assert!(!leaks(subject, &String::from_utf8_lossy(text)));
    }
}

fn leaks(subject: &Subject, text: &str) -> bool {
    // A public key is no secret.
    let shared = subject
        .ready
        .secrets
        .iter()
        .map(|text| text.secret.expose())
        .filter(|secret| secret.len() >= 8);
    shared.into_iter().any(|secret| contains(text.as_bytes(), secret))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

//! Near misses: one thing changed at a time, then verified as ever.

mod body;

use crate::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, KeyText, Provider, Refusal, url::PublicUrl},
};
use bytes::Bytes;
use data_encoding::BASE64;
use http::request::Parts;

/// Longer bodies are not re-written: it would cost too much for a guess.
pub const MAX_BODY: usize = 1 << 20;

/// Says which single change makes the signature right.
pub fn misses(
    provider: &Provider,
    secrets: &[KeyText],
    envelope: Envelope<'_>,
    now: Timestamp,
    said: &mut Vec<String>,
) {
    for (words, variant) in secret_variants(secrets) {
        if is_signed(provider, &[variant], envelope, now) {
            said.push(format!("it matches if the secret {words}"));
        }
    }
    if envelope.body.len() <= MAX_BODY {
        for (words, body) in body::variants(&envelope.body.joined()) {
            let frames = Frames::from(Bytes::from(body));
            let changed = Envelope {
                head: envelope.head,
                body: &frames,
            };
            if is_signed(provider, secrets, changed, now) {
                said.push(format!("the body was re-encoded on its way: it matches {words}"));
            }
        }
    }
    if provider.facts().reads_url {
        urls(provider, secrets, envelope, now, said);
    }
}

fn is_signed(provider: &Provider, secrets: &[KeyText], envelope: Envelope<'_>, now: Timestamp) -> bool {
    let Ok(keys) = provider.keys(secrets) else {
        return false;
    };
    matches!(
        provider.verify(envelope, &keys, now),
        Ok(_) | Err(Refusal::Stale { .. } | Refusal::Malformed(_))
    )
}

fn secret_variants(secrets: &[KeyText]) -> Vec<(&'static str, KeyText)> {
    let mut variants = Vec::new();
    for secret in secrets {
        let text = secret.secret.expose();
        let mut add = |words, bytes: Vec<u8>, encoding| {
            variants.push((
                words,
                KeyText {
                    secret: Secret::new(bytes),
                    encoding,
                    allow_short: true,
                },
            ));
        };
        let trimmed = text.trim_ascii();
        if trimmed.len() != text.len() {
            add(
                "is taken without the blanks or line ends around it",
                trimmed.to_vec(),
                secret.encoding,
            );
        }
        add(
            "ends with a newline (it was made with `echo` instead of `echo -n`)",
            [text, b"\n"].concat(),
            secret.encoding,
        );
        add(
            "ends with a carriage return and newline",
            [text, b"\r\n"].concat(),
            secret.encoding,
        );
        add(
            "is base64-decoded first (`encoding: base64`)",
            text.to_vec(),
            Encoding::Base64,
        );
        add("is hex-decoded first (`encoding: hex`)", text.to_vec(), Encoding::Hex);
        add("is used as it stands (`encoding: utf8`)", text.to_vec(), Encoding::Utf8);
        if let Some(bare) = text.strip_prefix(b"whsec_") {
            add("is used without `whsec_`", bare.to_vec(), Encoding::Utf8);
            add(
                "is base64-decoded without `whsec_`: this is a Standard Webhooks sender",
                bare.to_vec(),
                Encoding::Base64,
            );
        }
        if let Ok(inner) = BASE64.decode(text) {
            add(
                "is base64-decoded (a Kubernetes Secret pasted with its encoding?)",
                inner,
                Encoding::Preset,
            );
        }
    }
    variants
}

fn urls(provider: &Provider, secrets: &[KeyText], envelope: Envelope<'_>, now: Timestamp, said: &mut Vec<String>) {
    let Some(base) = &provider.plan.base else { return };
    let mut places: Vec<(String, PublicUrl)> =
        vec![("the other scheme (http or https)".to_owned(), base.other_scheme())];
    places.extend(base.without_port().map(|url| ("no port".to_owned(), url)));
    if let Some(host) = envelope
        .head
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
    {
        let named = |base: &PublicUrl| base.with_authority(host);
        places.extend(named(base).map(|url| (format!("the host `{host}` of this request"), url)));
        places.extend(named(&base.other_scheme()).map(|url| (format!("the host `{host}` and the other scheme"), url)));
    }
    for (words, url) in places {
        let options = crate::provider::Options {
            public_url: Some(url.of("", crate::provider::url::Form::Whole)),
            ..provider.options.clone()
        };
        if let Ok(other) = Provider::compile(&provider.preset, &options)
            && is_signed(&other, secrets, envelope, now)
        {
            said.push(format!(
                "`public_url` is not what the provider sees: it matches with {words}"
            ));
        }
    }
    let target = envelope.head.uri.to_string();
    let (path, query) = target
        .split_once('?')
        .map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let slashed = if path.ends_with('/') {
        path.trim_end_matches('/').to_owned()
    } else {
        format!("{path}/")
    };
    let slashed = query.map_or(slashed.clone(), |query| format!("{slashed}?{query}"));
    for (words, target) in [
        ("with the other end of the path (slash or none)", slashed),
        ("without the query", path.to_owned()),
    ] {
        if let Some(head) = with_target(envelope.head, &target) {
            let changed = Envelope {
                head: &head,
                body: envelope.body,
            };
            if is_signed(provider, secrets, changed, now) {
                said.push(format!("the URL was rewritten on its way: it matches {words}"));
            }
        }
    }
}

fn with_target(head: &Parts, target: &str) -> Option<Parts> {
    let mut changed = head.clone();
    let uri = target.parse().ok()?;
    if changed.uri == uri {
        return None;
    }
    changed.uri = uri;
    Some(changed)
}

//! Near misses: one thing changed at a time, then verified as ever.

use crate::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, KeyText, Provider, Refusal, url::PublicUrl},
};
use bytes::Bytes;
use data_encoding::BASE64;
use http::request::Parts;

/// Longer bodies are not re-written: it would cost too much for a guess.
const MAX_BODY: usize = 1 << 20;

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
        for (words, body) in body_variants(&envelope.body.joined()) {
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
    if provider.facts().signs_url {
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

fn body_variants(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut variants = Vec::new();
    let mut add = |words, changed: Vec<u8>| {
        if changed != body {
            variants.push((words, changed));
        }
    };
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        add(
            "after removing the blanks between JSON tokens",
            value.to_string().into_bytes(),
        );
        add("as indented JSON (2 spaces)", indented(&value, b"  "));
        add("as indented JSON (4 spaces)", indented(&value, b"    "));
        add(
            "as JSON with a blank after each `:` and `,` (as Python writes it)",
            spaced(&value.to_string()),
        );
    }
    add("with LF instead of CRLF line ends", replaced(body, b"\r\n", b"\n"));
    add(
        "with CRLF instead of LF line ends",
        replaced(&replaced(body, b"\r\n", b"\n"), b"\n", b"\r\n"),
    );
    add("without the white space at its end", body.trim_ascii_end().to_vec());
    add("with a newline at its end", [body, b"\n"].concat());
    add("with CRLF at its end", [body, b"\r\n"].concat());
    add(
        "without a byte order mark",
        body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).to_vec(),
    );
    variants
}

fn indented(value: &serde_json::Value, indent: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut writer).expect("a JSON value can be written to memory");
    out
}

/// Blanks after the separators of minified JSON, outside of strings.
fn spaced(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 8);
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        out.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b':' | b',' if !inside => out.push(b' '),
            _ => {}
        }
    }
    out
}

fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

fn urls(provider: &Provider, secrets: &[KeyText], envelope: Envelope<'_>, now: Timestamp, said: &mut Vec<String>) {
    let Some(base) = &provider.plan.base else { return };
    let mut places: Vec<(String, PublicUrl)> =
        vec![("the other scheme (http or https)".to_owned(), base.other_scheme())];
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

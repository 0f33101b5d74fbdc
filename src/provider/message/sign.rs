//! The signature of RFC 9421 that a sender of this preset would make: the least that verification demands.

use super::{
    CONTENT_DIGEST, Component, Message, SIGNATURE, SIGNATURE_INPUT, base, component,
    digest::written,
    structured::{Item, Params, list_text},
};
use crate::{
    event::Timestamp,
    provider::{CannotSign, Unsigned, field::Scene, keys::Key, url::PublicUrl},
};
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, header, request::Parts};
use sfv::BareItem;

/// The label where the preset names none, as in the RFC's examples.
const LABEL: &str = "sig1";
/// How long a signature is worth something where the preset wants `expires`.
const LIFETIME: i64 = 300;

/// `Content-Digest`, `Signature-Input` and `Signature`, to go with the headers that `head` has already.
pub fn headers(
    message: &Message,
    head: &Parts,
    url: Option<&PublicUrl>,
    key: &Key,
    request: &Unsigned<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, CannotSign> {
    let Key::Mac(keyed) = key else {
        return Err(CannotSign(
            "the provider signs with a private key of its own; its public key, which is all we have, cannot".to_owned(),
        ));
    };
    let mut head = head.clone();
    let mut made = Vec::new();
    let scene = Scene::of_head(&head, url, None);
    let demands = message.required.iter().filter(|demand| demand.asks(&scene));
    let mut components: Vec<&Component> = Vec::new();
    for component in demands.filter_map(|demand| fitting(&demand.any, url)) {
        if !components.contains(&component) {
            components.push(component);
        }
    }
    for name in components.iter().filter_map(|component| component.header()) {
        if head.headers.contains_key(name) {
            continue;
        }
        let Some((text, is_sent)) = known(name, url, request) else {
            return Err(CannotSign(format!(
                "the signature covers `{name}`, and nobody says what it is to be"
            )));
        };
        let value = HeaderValue::from_str(&text).map_err(|_| unfit())?;
        head.headers.insert(name.clone(), value.clone());
        if is_sent {
            made.push((name.clone(), value));
        }
    }
    let items: Vec<Item> = components.iter().map(|component| component.item()).collect();
    let params = params(message, request)?;
    let covered: Vec<Component> = components.into_iter().cloned().collect();
    let scene = Scene::of_head(&head, url, None);
    let base = base(&scene, &covered, &items, &params).map_err(|cause| CannotSign(cause.to_string()))?;
    let mut mac = keyed.clone();
    mac.update(&base);
    let label = message.label.as_deref().unwrap_or(LABEL);
    let signature = format!("{label}=:{}:", BASE64.encode(mac.finish().bytes()));
    let input = format!("{label}={}", list_text(&items, &params));
    for (name, text) in [(SIGNATURE_INPUT, input), (SIGNATURE, signature)] {
        let mut value = HeaderValue::from_str(&text).map_err(|_| unfit())?;
        value.set_sensitive(true);
        made.push((name, value));
    }
    Ok(made)
}

/// The first of a group that can be signed with what is known.
fn fitting<'m>(group: &'m [Component], url: Option<&PublicUrl>) -> Option<&'m Component> {
    let fits = |component: &&Component| url.is_some() || !component.needs_url();
    group.iter().find(fits).or_else(|| group.first())
}

/// What the client sends anyhow, or what only a signer adds; and whether it must be sent beside the signature.
fn known(name: &HeaderName, url: Option<&PublicUrl>, request: &Unsigned<'_>) -> Option<(String, bool)> {
    if *name == CONTENT_DIGEST {
        return Some((written(request.body), true));
    }
    if *name == header::DATE {
        return Some((http_date(request.at)?, true));
    }
    if *name == header::CONTENT_LENGTH {
        return Some((request.body.len().to_string(), false));
    }
    if *name == header::HOST {
        return url.map(|url| (url.authority(), false));
    }
    None
}

fn params(message: &Message, request: &Unsigned<'_>) -> Result<Params, CannotSign> {
    let integer = |number: i64| {
        sfv::Integer::try_from(number)
            .map(BareItem::Integer)
            .map_err(|_| CannotSign("the time is outside of what can be written".to_owned()))
    };
    let mut params = vec![(super::CREATED, integer(request.at.as_secs())?)];
    for name in &message.parameters {
        let value = match name.as_str() {
            super::CREATED => continue,
            "expires" => integer(request.at.as_secs().saturating_add(LIFETIME))?,
            "nonce" => component::text(&super::super::sign::made_up(request)),
            "alg" => component::text(message.alg),
            // Given below, where it is fixed.
            "keyid" | "tag" if message.fixed(name).is_some() => continue,
            _ => component::text("hookward"),
        };
        params.push((name, value));
    }
    for name in ["keyid", "tag"] {
        if let Some(text) = message.fixed(name) {
            params.push((name, component::text(text)));
        }
    }
    params
        .into_iter()
        .map(|(name, value)| {
            let key = sfv::Key::from_string(name.to_owned()).map_err(|_| unfit())?;
            Ok((key, value))
        })
        .collect()
}

impl Message {
    fn fixed(&self, name: &str) -> Option<&str> {
        match name {
            "keyid" => self.keyid.as_deref(),
            "tag" => self.tag.as_deref(),
            _ => None,
        }
    }
}

/// IMF-fixdate (RFC 9110, 5.6.7).
fn http_date(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_second(at.as_secs()).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn unfit() -> CannotSign {
    CannotSign("a value does not fit into a header".to_owned())
}

//! `upstream` and `destinations`.

use super::{FAIL, Reader, defaults::Defaults};
use crate::config::{
    problem::{Fault, excerpt},
    raw::{self, Named, Root},
    secrets::{Fetched, Held},
    settings::SourceSettings,
    spot::Spot,
    url::{self, Kind},
    value,
};
use crate::{
    event::{DestinationName, Secret},
    provider::Encoding,
    tls::ClientTls,
    upstream::{DestinationSpec, DestinationUrl, Lane, Secure},
};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use http::StatusCode;
use std::{collections::BTreeMap, sync::Arc};

/// Every destination of the file by name; `None`: there is one, and it was reported.
pub(super) struct Destinations {
    list: Vec<(String, Option<Arc<DestinationSpec>>)>,
}

fn kind_of(name: &DestinationName) -> Kind {
    if *name == DestinationName::upstream() {
        Kind::Upstream
    } else {
        Kind::Destination
    }
}

/// What is wrong was said.
struct Reported;

/// What a name means.
pub(super) enum Found {
    Known(Arc<DestinationSpec>),
    Reported,
    Unknown,
}

impl Destinations {
    pub fn find(&self, name: &str) -> Found {
        match self.list.iter().find(|(known, _)| known == name) {
            Some((_, Some(spec))) => Found::Known(spec.clone()),
            Some((_, None)) => Found::Reported,
            None => Found::Unknown,
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.list.iter().map(|(name, _)| name.as_str())
    }

    pub fn known(&self) -> impl Iterator<Item = &Arc<DestinationSpec>> {
        self.list.iter().filter_map(|(_, spec)| spec.as_ref())
    }

    /// Those that a source names, in the order of the file.
    pub fn used_by(&self, sources: &[SourceSettings]) -> Vec<Arc<DestinationSpec>> {
        let used = |spec: &Arc<DestinationSpec>| {
            sources
                .iter()
                .flat_map(|source| &source.to)
                .any(|route| route.destination.name == spec.name)
        };
        self.known().filter(|spec| used(spec)).cloned().collect()
    }
}

impl Reader<'_> {
    pub(super) fn destinations(&self, raw: &Root, root: Spot<'_>, defaults: &Defaults) -> Destinations {
        let mut list = Vec::new();
        let spot = root.at("upstream");
        let upstream = DestinationName::upstream();
        match &raw.upstream {
            None if spot.exists() => list.push((upstream.to_string(), None)),
            None => {}
            Some(raw) => {
                let spec = self.either(upstream.clone(), raw, spot, defaults);
                list.push((upstream.to_string(), spec.map(Arc::new)));
            }
        }
        let spot = root.at("destinations");
        for (name, raw) in raw.destinations.iter().flat_map(|Named(list)| list) {
            let spot = spot.at(name);
            let parsed = DestinationName::parse(name).map_err(|error| Fault::new(error.to_string()));
            let parsed = match parsed {
                Ok(name) if name == DestinationName::upstream() => {
                    Err(Fault::new("`upstream` is the name of the plain upstream")
                        .hint("call this destination something else"))
                }
                other => other,
            };
            let parsed = parsed.map_err(|fault| self.problems.error(spot.label(), fault)).ok();
            let spec = parsed
                .zip(raw.as_ref())
                .and_then(|(name, raw)| self.either(name, raw, spot, defaults));
            list.push((name.clone(), spec.map(Arc::new)));
        }
        Destinations { list }
    }

    /// A destination in its short or its long form.
    fn either(
        &self,
        name: DestinationName,
        raw: &raw::Upstream,
        spot: Spot<'_>,
        defaults: &Defaults,
    ) -> Option<DestinationSpec> {
        let text = match raw {
            raw::Upstream::Long(long) => return self.destination(name, long, spot, defaults),
            raw::Upstream::Short(text) => text,
        };
        let url = self.parsed(Some(text), spot, |text| url::destination(text, kind_of(&name)))?;
        let tls = self.secure(None, Some(&url), spot).ok()?;
        Some(DestinationSpec {
            tls,
            ..plain(name, url, defaults)
        })
    }

    fn destination(
        &self,
        name: DestinationName,
        raw: &raw::Destination,
        spot: Spot<'_>,
        defaults: &Defaults,
    ) -> Option<DestinationSpec> {
        let is_upstream = name == DestinationName::upstream();
        let kind = kind_of(&name);
        let timeout = self
            .parsed(raw.timeout.as_deref(), spot.at("timeout"), value::positive)
            .unwrap_or(defaults.timeout);
        let connect_wait = self
            .parsed(raw.connect_wait.as_deref(), spot.at("connect_wait"), value::duration)
            .unwrap_or(defaults.connect_wait);
        if connect_wait > timeout && (spot.has("connect_wait") || spot.has("timeout")) {
            let at = if spot.has("connect_wait") {
                spot.at("connect_wait")
            } else {
                spot.at("timeout")
            };
            self.problems.warn(
                at.value(),
                Fault::new(format!(
                    "`connect_wait` ({}) counts inside of `timeout` ({}) and is longer",
                    value::show(connect_wait),
                    value::show(timeout)
                ))
                .hint("lengthen `timeout`, or shorten `connect_wait`"),
            );
        }
        let headers = self.fixed_headers(raw.headers.as_ref(), spot.at("headers"), spot.has("sign"));
        let map_status = self.map_status(raw.map_status.as_ref(), spot.at("map_status"));
        let sign = raw
            .sign
            .as_ref()
            .and_then(|sign| self.sign_key(sign, spot.at("sign").at("secret"), &name));
        if spot.has("sign_unverified") && !spot.has("sign") {
            self.problems.error(
                spot.at("sign_unverified").label(),
                Fault::new("`sign_unverified` without `sign` does nothing")
                    .hint("add `sign: {secret: {file: PATH}}`, or take this out"),
            );
        }
        if is_upstream && raw.forward_credentials == Some(false) {
            self.problems.error(
                spot.at("forward_credentials").value(),
                Fault::new("credentials always stay for the plain `upstream`")
                    .hint("name the app in `destinations` to have them removed"),
            );
        }
        let url = self.parsed(raw.url.as_deref(), spot.at("url"), |text| url::destination(text, kind));
        let tls = self.secure(raw.tls.as_ref(), url.as_ref(), spot);
        let (url, tls) = (url?, tls.ok()?);
        Some(DestinationSpec {
            tls,
            timeout,
            connect_wait,
            headers,
            map_status,
            forward_credentials: is_upstream || raw.forward_credentials.unwrap_or(false),
            sign,
            sign_unverified: raw.sign_unverified.unwrap_or(false),
            ..plain(name, url, defaults)
        })
    }

    /// TLS as the URL asks for it.
    fn secure(
        &self,
        raw: Option<&raw::ClientTls>,
        url: Option<&DestinationUrl>,
        spot: Spot<'_>,
    ) -> Result<Option<Secure>, Reported> {
        let at = spot.at("tls");
        if url.is_some_and(|url| !url.secure) && spot.has("tls") {
            let fault = Fault::new("`tls` does nothing for an `http` URL");
            self.problems.error(
                at.label(),
                fault.hint("begin the URL with `https://`, or take this out"),
            );
            return Err(Reported);
        }
        let settings = match raw {
            Some(raw) => self.destination_tls(raw, at).ok_or(Reported)?,
            None if spot.lacks("tls") => ClientTls::default(),
            None => return Err(Reported),
        };
        let url = url.ok_or(Reported)?;
        if !url.secure {
            self.warn_of_clear_text(url, if spot.has("url") { spot.at("url") } else { spot });
            return Ok(None);
        }
        Secure::new(settings, &url.host).map(Some).map_err(|error| {
            let fault = Fault::new(format!("`{}`: {error}", excerpt(&url.host)));
            self.problems.error(spot.at("url").value(), fault);
            Reported
        })
    }

    fn warn_of_clear_text(&self, url: &DestinationUrl, spot: Spot<'_>) {
        if url::is_loopback(&url.host) {
            return;
        }
        self.problems.warn(
            spot.value(),
            Fault::new(format!(
                "`{}` is on another machine and its URL does not ask for TLS: bodies and credentials travel in clear",
                excerpt(&url.host)
            ))
            .hint("begin the URL with `https://`, or keep the network between them private"),
        );
    }

    fn map_status(&self, raw: Option<&Named<raw::Status>>, spot: Spot<'_>) -> BTreeMap<u16, StatusCode> {
        let mut map = BTreeMap::new();
        for (from, to) in raw.iter().flat_map(|list| &list.0) {
            let code = from.parse::<u16>().ok().filter(|code| (400..=599).contains(code));
            let Some(code) = code else {
                self.problems.error(
                    spot.at(from).label(),
                    Fault::new(format!("`{}` is not a status from 400 to 599", excerpt(from)))
                        .hint("failures become other failures; what the app did with a success is not ours to change"),
                );
                continue;
            };
            if let Some(to) = to.as_ref().and_then(|raw::Status(to)| StatusCode::from_u16(*to).ok()) {
                map.insert(code, to);
            }
        }
        map
    }

    /// The key of our own signature, in bytes: Standard Webhooks libraries take `whsec_` and base64.
    fn sign_key(&self, raw: &raw::Sign, spot: Spot<'_>, name: &DestinationName) -> Option<Secret> {
        let whose = format!("`sign` of destination `{name}`");
        let Fetched::Held(held) = self.secret(raw.secret.as_ref(), spot, &whose, FAIL) else {
            return None;
        };
        let Held { secret, encoding, .. } = *held;
        let text = secret.expose();
        let bare = text.strip_prefix(b"whsec_");
        let decoded = match encoding {
            Encoding::Utf8 => return Some(secret),
            Encoding::Hex => HEXLOWER_PERMISSIVE.decode(text).ok(),
            Encoding::Base64 | Encoding::Preset => {
                let text = bare.unwrap_or(text);
                BASE64.decode(text).or_else(|_| BASE64_NOPAD.decode(text)).ok()
            }
        };
        match decoded {
            Some(key) if !key.is_empty() => Some(Secret::new(key)),
            _ if encoding == Encoding::Preset && bare.is_none() => {
                self.problems.warn(
                    spot.label(),
                    Fault::new(format!("the secret of {whose} is not base64, so its bytes are the key")).hint(
                        "libraries of Standard Webhooks expect base64; say `encoding: utf8` if the bytes are meant",
                    ),
                );
                Some(secret)
            }
            _ => {
                let form = if encoding == Encoding::Hex { "hex" } else { "base64" };
                self.problems
                    .error(spot.label(), Fault::new(format!("the secret of {whose} is not {form}")));
                None
            }
        }
    }
}

/// A destination about which nothing but its URL is said.
fn plain(name: DestinationName, url: DestinationUrl, defaults: &Defaults) -> DestinationSpec {
    DestinationSpec {
        forward_credentials: name == DestinationName::upstream(),
        name,
        url,
        tls: None,
        timeout: defaults.timeout,
        connect_wait: defaults.connect_wait,
        headers: Vec::new(),
        map_status: BTreeMap::new(),
        sign: None,
        sign_unverified: false,
        lane: Lane::default(),
    }
}

//! A signed request: what is in it, and how it is written as headers, as a curl command and as JSON.

use crate::{
    cli::subject::Subject,
    config::Settings,
    event::{Envelope, Frames, PathRule, Timestamp},
    provider::{Fresh, Listing, Unsigned},
    source::Ending,
};
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method, Request, header};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// What is signed.
pub(super) struct Content {
    body: Bytes,
    kind: String,
    event: Option<String>,
    headers: Vec<(String, String)>,
    /// The file that holds the body, for curl.
    file: Option<PathBuf>,
}

/// A signed request.
pub(super) struct Letter {
    source: String,
    provider: String,
    method: Method,
    /// As the provider calls it: `public_url` and the path, or the sidecar's own address.
    url: String,
    /// As it is called on this machine.
    local: String,
    /// What the sidecar wants as `Host`, where it serves some hosts only.
    host: Option<String>,
    headers: Vec<(String, String)>,
    content: Content,
    at: Timestamp,
}

impl Content {
    /// A body of somebody's own; its type is guessed from what it looks like.
    pub(super) fn of(body: Bytes, file: &Path) -> Self {
        let kind = if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
            "application/json"
        } else if is_form(&body) {
            FORM
        } else if std::str::from_utf8(&body).is_ok() {
            "text/plain"
        } else {
            "application/octet-stream"
        };
        Self {
            body,
            kind: kind.to_owned(),
            event: None,
            headers: Vec::new(),
            file: (file.as_os_str() != "-").then(|| file.to_path_buf()),
        }
    }

    /// The preset's first sample, with its event.
    pub(super) fn sample(subject: &Subject<'_>, at: Timestamp) -> Option<(Self, String)> {
        subject.provider.sample_events().next()?;
        let sample = subject.provider.sample(None, Fresh::at(at));
        let content = Self {
            body: sample.body,
            kind: sample.content_type,
            event: Some(sample.event.clone()),
            headers: sample.headers,
            file: None,
        };
        Some((content, sample.event))
    }
}

impl Letter {
    /// Signs with the newest secret. The error says why that cannot be done.
    pub(super) fn write(
        settings: &Settings,
        subject: &Subject<'_>,
        content: Content,
        at: Timestamp,
    ) -> Result<Self, String> {
        let facts = subject.provider.facts();
        let method = facts.methods.first().cloned().unwrap_or(Method::POST);
        let target = target(subject.settings.paths.first());
        let unsigned = Unsigned {
            method: &method,
            target: &target,
            content_type: Some(&content.kind),
            body: &content.body,
            id: None,
            event: content.event.as_deref(),
            at,
        };
        let signed = subject
            .provider
            .sign(&unsigned, &subject.keys)
            .map_err(|error| error.to_string())?;
        let listing = subject.settings.preset.listing();
        let mut headers = Vec::new();
        for (name, value) in &signed {
            let value = text(value).ok_or_else(|| format!("`{name}` would hold bytes that are no text"))?;
            headers.push((as_written(&listing, name), value));
        }
        for (name, value) in &content.headers {
            if signed
                .iter()
                .all(|(known, _)| !known.as_str().eq_ignore_ascii_case(name))
            {
                headers.push((name.clone(), value.clone()));
            }
        }
        if signed.iter().all(|(name, _)| name != header::CONTENT_TYPE) {
            headers.push(("Content-Type".to_owned(), content.kind.clone()));
        }
        let local = format!(
            "http://{}{target}",
            super::super::local::reached_at(settings.listen.address)
        );
        let public = subject.settings.options.public_url.as_deref();
        Ok(Self {
            source: subject.settings.name.to_string(),
            provider: facts.name.clone(),
            url: public.map_or_else(
                || local.clone(),
                |base| format!("{}{target}", base.trim_end_matches('/')),
            ),
            local,
            host: settings.hosts.first().cloned(),
            method,
            headers,
            content,
            at,
        })
    }

    /// Why what was signed would be refused all the same: a provider would not send this body, or not to this path.
    pub(super) fn doubt(&self, subject: &Subject<'_>) -> Option<String> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(target(subject.settings.paths.first()));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).ok()?.into_parts();
        let body = Frames::from(self.content.body.clone());
        let envelope = Envelope {
            head: &head,
            body: &body,
        };
        let refusal = subject.provider.verify(envelope, &subject.keys, self.at).err()?;
        Some(Ending::refused(&refusal).reason.into_owned())
    }

    /// `Name: value`, one a line.
    pub(super) fn headers(&self) -> String {
        let lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.join("\n")
    }

    /// A command for a POSIX shell.
    pub(super) fn curl(&self) -> String {
        let mut command = format!("curl -i -X {} {}", self.method, quoted(&self.local));
        let host = self.host.iter().map(|host| ("Host", host));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in host.chain(headers) {
            write!(command, " \\\n  -H {}", quoted(&format!("{name}: {value}")))
                .expect("writing to a String cannot fail");
        }
        let data = match (&self.content.file, std::str::from_utf8(&self.content.body)) {
            (Some(file), _) => format!("--data-binary {}", quoted(&format!("@{}", file.display()))),
            // curl would take what begins with `@` for a file's name.
            (None, Ok(text)) if text.starts_with('@') => format!("--data-raw {}", quoted(text)),
            (None, Ok(text)) if !text.contains('\0') => format!("--data-binary {}", quoted(text)),
            (None, _) => "--data-binary @-".to_owned(),
        };
        write!(command, " \\\n  {data}").expect("writing to a String cannot fail");
        command
    }

    /// The request as `explain --request` reads it.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        serde_json::to_string_pretty(&json!({
            "schema_version": 1,
            "source": self.source,
            "provider": self.provider,
            "method": self.method.as_str(),
            "url": self.url,
            "headers": headers,
            "body_base64": BASE64.encode(&self.content.body),
            "at": self.at.as_secs(),
        }))
    }
}

/// `a=1&b=%20`: nothing but what form encoding leaves (WHATWG URL, 5.2).
fn is_form(body: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._+%=&".contains(byte);
    body.contains(&b'=') && body.iter().all(plain)
}

/// A path that leads to the source.
fn target(rule: Option<&PathRule>) -> String {
    match rule {
        Some(PathRule::Exact(path)) => path.clone(),
        Some(PathRule::Below(prefix)) => format!("{prefix}sample"),
        None => "/".to_owned(),
    }
}

/// The header's name with the capitals that the provider's own documentation, and so the preset, gives it.
fn as_written(listing: &Listing, name: &HeaderName) -> String {
    let places = [&listing.signature, &listing.id, &listing.event]
        .into_iter()
        .flatten()
        .chain(&listing.timestamp);
    let mut written = places.filter_map(|place| place.strip_prefix("header:"));
    let in_templates = || {
        listing.signs.iter().find_map(|template| {
            let mut names = template
                .split("{header.")
                .skip(1)
                .filter_map(|rest| rest.split('}').next());
            names.find(|written| name.as_str().eq_ignore_ascii_case(written))
        })
    };
    written
        .find(|written| name.as_str().eq_ignore_ascii_case(written))
        .or_else(in_templates)
        .unwrap_or(name.as_str())
        .to_owned()
}

fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

/// One word of a POSIX shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn a_prefix_path_gets_something_below_it() {
        assert_eq!(target(Some(&PathRule::Below("/hooks/".to_owned()))), "/hooks/sample");
        assert_eq!(target(Some(&PathRule::Exact("/h".to_owned()))), "/h");
    }
}

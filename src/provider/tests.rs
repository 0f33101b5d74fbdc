//! The engine as a whole: verdicts, evidence, handshakes, and that whatever is signed verifies and nothing else does.

mod attacks;
mod diagnosis;
mod evidence;
mod handshakes;
mod message;
mod proofs;
mod relabelled;
mod round_trip;
mod timing;
mod wycheproof;

use super::*;
use crate::event::Frames;
use http::Request;

pub(super) const NOW: i64 = 1_760_000_000;

/// A request in the making.
#[derive(Clone)]
pub(super) struct Attempt {
    pub method: http::Method,
    pub target: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

pub(super) fn text(secret: &str) -> KeyText {
    KeyText {
        secret: Secret::new(secret.as_bytes().to_vec()),
        encoding: Encoding::Preset,
        allow_short: true,
    }
}

pub(super) fn compiled(preset: &Preset, settings: &[(&str, &str)]) -> Provider {
    let options = Options {
        public_url: Some("https://hooks.example.com".to_owned()),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::default()
    };
    Provider::compile(preset, &options).unwrap_or_else(|problems| panic!("{}: {problems:?}", preset.name))
}

pub(super) fn named(name: &str) -> Provider {
    compiled(preset(name).expect("an embedded preset"), &[])
}

pub(super) fn inline(yaml: &str) -> Provider {
    compiled(&Preset::from_yaml(yaml).expect("a preset"), &[])
}

/// Signs as the provider would.
pub(super) fn signed(provider: &Provider, keys: &Keys, body: &[u8], id: Option<&str>, event: Option<&str>) -> Attempt {
    let body = Bytes::copy_from_slice(body);
    let headers = provider
        .sign(
            &Unsigned {
                method: &http::Method::POST,
                target: "/hooks/a?x=%20",
                content_type: Some("application/json"),
                body: &body,
                id,
                event,
                at: Timestamp::from_secs(NOW),
            },
            keys,
        )
        .expect("it can be signed");
    let json = (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Attempt {
        method: http::Method::POST,
        target: "/hooks/a?x=%20".to_owned(),
        headers: std::iter::once(json).chain(headers).collect(),
        body,
    }
}

impl Attempt {
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.add(name, value)
    }

    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        ));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.as_str().eq_ignore_ascii_case(name));
        self
    }

    pub fn header(&self, name: &str) -> String {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
        found.expect("a header").1.to_str().expect("text").to_owned()
    }

    pub fn with_body(mut self, body: &[u8]) -> Self {
        self.body = Bytes::copy_from_slice(body);
        self
    }

    pub fn head(&self) -> Parts {
        let mut request = Request::builder().method(self.method.clone()).uri(self.target.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    pub fn judged(&self, provider: &Provider, keys: &Keys) -> Result<Finding, Refusal> {
        self.judged_at(provider, keys, NOW)
    }

    pub fn judged_at(&self, provider: &Provider, keys: &Keys, now: i64) -> Result<Finding, Refusal> {
        let head = self.head();
        let frames = Frames::from(self.body.clone());
        let envelope = Envelope {
            head: &head,
            body: &frames,
        };
        provider.verify(envelope, keys, Timestamp::from_secs(now))
    }

    pub fn evidence(&self, provider: &Provider, keys: &Keys) -> Evidence {
        match self.judged(provider, keys) {
            Ok(Finding::Authentic(evidence)) => evidence,
            Ok(Finding::Challenge(_) | Finding::Confirmation(_)) => panic!("a handshake"),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    pub fn refusal(&self, provider: &Provider, keys: &Keys) -> Refusal {
        self.judged(provider, keys).expect_err("refused")
    }
}

impl std::fmt::Debug for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authentic(_) => "authentic",
            Self::Challenge(_) => "challenge",
            Self::Confirmation(_) => "confirmation",
        })
    }
}

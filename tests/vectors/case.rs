//! One vector: a request, the secrets, and whether it must be accepted.

pub use hookward::provider::Preset;

use bytes::Bytes;
use data_encoding::BASE64;
use hookward::{
    event::{Envelope, Frames, Secret, Timestamp},
    provider::{Encoding, Finding, KeyText, Keys, Options, Provider, Tolerance, Window},
};
use http::request::Parts;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Deserialize)]
pub struct Case {
    #[serde(rename = "case")]
    pub name: String,
    pub secrets: Vec<String>,
    pub now_unix: i64,
    #[serde(default)]
    pub tolerance_s: Option<u64>,
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body_base64: Option<String>,
    #[serde(default)]
    pub body_spec: Option<BodySpec>,
    pub expect: String,
    pub reason: String,
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    #[serde(default)]
    pub verify: Option<String>,
}

#[derive(Deserialize)]
pub struct BodySpec {
    head_base64: String,
    unit_base64: String,
    count: usize,
    tail_base64: String,
    length: usize,
}

/// A case compiled.
pub struct Ready {
    pub provider: Provider,
    #[allow(dead_code, reason = "only tests/fuzz looks at it")]
    pub secrets: Vec<KeyText>,
    pub keys: Keys,
    pub head: Parts,
    pub now: Timestamp,
}

/// Where the vectors are, seen from the package and from that of the fuzz targets.
#[allow(dead_code, reason = "the suite knows its own folder")]
pub fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = package.join("tests/vectors");
    if own.is_dir() { own } else { package.join("../vectors") }
}

pub fn read(path: &Path) -> Vec<Case> {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Case {
    pub fn body(&self) -> Bytes {
        let decode = |text: &str| BASE64.decode(text.as_bytes()).expect("base64");
        match (&self.body_base64, &self.body_spec) {
            (Some(text), _) => decode(text).into(),
            (None, Some(spec)) => {
                let middle = decode(&spec.unit_base64).repeat(spec.count);
                let body = [decode(&spec.head_base64), middle, decode(&spec.tail_base64)].concat();
                assert_eq!(body.len(), spec.length);
                body.into()
            }
            (None, None) => Bytes::new(),
        }
    }

    /// Everything that its verification takes, compiled.
    pub fn ready(&self, preset: &Preset) -> Result<Ready, String> {
        let at = self.url.find("://").map_or(0, |at| at + 3);
        let at = self.url[at..].find('/').map_or(self.url.len(), |slash| at + slash);
        let (place, target) = self.url.split_at(at);
        let options = Options {
            public_url: Some(place.to_owned()),
            settings: self
                .config
                .iter()
                .filter(|(name, _)| *name != "kid")
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect(),
            // A vector's tolerance is the preset's own: it is set only where a preset has none.
            default_tolerance: self.tolerance_s.map(|secs| {
                let span = Duration::from_secs(secs);
                Window::Within(Tolerance {
                    past: span,
                    future: span,
                })
            }),
            ..Options::default()
        };
        let provider = Provider::compile(preset, &options).map_err(|problems| format!("{problems:?}"))?;
        let secrets: Vec<KeyText> = self
            .secrets
            .iter()
            .map(|text| KeyText {
                secret: Secret::new(text.as_bytes().to_vec()),
                encoding: Encoding::Preset,
                allow_short: true,
            })
            .collect();
        let keys = provider.keys(&secrets).map_err(|problems| format!("{problems:?}"))?;
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(if target.is_empty() { "/" } else { target });
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Ok(Ready {
            provider,
            secrets,
            keys,
            head,
            now: Timestamp::from_secs(self.now_unix),
        })
    }

    /// Verifies with the body in `pieces` frames; the error tells the wrong verdict.
    pub fn judge(&self, preset: &Preset, pieces: usize) -> Result<(), String> {
        let ready = self.ready(preset)?;
        let body = self.body();
        let mut frames = Frames::default();
        let size = body.len().div_ceil(pieces).max(1);
        let mut rest = body;
        while !rest.is_empty() {
            frames.push(rest.split_to(size.min(rest.len())));
        }
        let envelope = Envelope {
            head: &ready.head,
            body: &frames,
        };
        let verdict = ready.provider.verify(envelope, &ready.keys, ready.now);
        let accepted = matches!(
            verdict,
            Ok(Finding::Authentic(_) | Finding::Challenge(_) | Finding::Confirmation(_))
        );
        if accepted == (self.expect == "accept") {
            return Ok(());
        }
        Err(format!(
            "must be {}ed ({}), but was {:?}",
            self.expect,
            self.reason,
            verdict.err()
        ))
    }
}

//! The providers of the trial: they sign with the presets' own `sign`, and send over real HTTP.

use crate::{
    config::settings::SourceSettings,
    event::{Secret, Timestamp},
    provider::{CannotSign, Encoding, KeyText, Keys, Problem, Provider, Unsigned},
    telemetry::TraceParent,
};
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{fmt::Write, net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// More than the longest time that the sidecar gives an app.
const PATIENCE: Duration = Duration::from_secs(30);

const LONGEST_ANSWER: usize = 1 << 20;

/// Who sends to one source: the provider itself, and whoever pretends to be it.
pub(super) struct Sender {
    source: String,
    path: String,
    provider: Provider,
    keys: Keys,
    guessed: Keys,
}

/// What happened at the provider.
#[derive(Clone)]
pub(super) struct Event {
    /// Its type.
    pub kind: &'static str,
    /// Its id, as a person knows it.
    pub id: &'static str,
    pub body: Bytes,
}

/// One request, ready to be sent any number of times.
#[derive(Clone)]
pub(super) struct Call {
    pub source: String,
    pub event: &'static str,
    pub id: &'static str,
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// What the sender was told.
pub(super) struct Answer {
    pub status: StatusCode,
    /// `Hookward-Outcome`.
    pub outcome: String,
    pub body: Bytes,
}

impl Sender {
    /// The sender that belongs to a source, and a forger who guesses that its secret is `guess`.
    pub(super) fn new(source: &SourceSettings, guess: String) -> anyhow::Result<Self> {
        let provider = Provider::compile(&source.preset, &source.options).map_err(trouble)?;
        let keys: Vec<KeyText> = source.secrets.iter().map(|secret| secret.text.clone()).collect();
        let guess = KeyText {
            secret: Secret::new(guess.into_bytes()),
            encoding: Encoding::Preset,
            allow_short: false,
        };
        let path = source.paths.first().context("a source has a path")?;
        Ok(Self {
            source: source.name.to_string(),
            path: path.key_path().to_owned(),
            keys: provider.keys(&keys).map_err(trouble)?,
            guessed: provider.keys(&[guess]).map_err(trouble)?,
            provider,
        })
    }

    /// The request that the provider would send at `at`.
    pub(super) fn sign(&self, event: &Event, at: Timestamp) -> Result<Call, CannotSign> {
        self.signed(event, at, &self.keys)
    }

    /// The same, signed with a secret that is not the provider's.
    pub(super) fn forge(&self, event: &Event, at: Timestamp) -> Result<Call, CannotSign> {
        self.signed(event, at, &self.guessed)
    }

    /// The same without any signature.
    pub(super) fn bare(&self, event: &Event) -> Call {
        let json = HeaderValue::from_static("application/json");
        Call {
            source: self.source.clone(),
            event: event.kind,
            id: event.id,
            path: self.path.clone(),
            headers: vec![(header::CONTENT_TYPE, json)],
            body: event.body.clone(),
        }
    }

    fn signed(&self, event: &Event, at: Timestamp, keys: &Keys) -> Result<Call, CannotSign> {
        let mut call = self.bare(event);
        let unsigned = Unsigned {
            method: &Method::POST,
            target: &self.path,
            content_type: Some("application/json"),
            body: &event.body,
            id: Some(event.id),
            event: Some(event.kind),
            at,
        };
        call.headers.extend(self.provider.sign(&unsigned, keys)?);
        Ok(call)
    }
}

impl Call {
    /// The same with another body: what a man in the middle makes of it.
    pub(super) fn tampered(mut self, from: &str, to: &str) -> Self {
        let text = String::from_utf8_lossy(&self.body).replace(from, to);
        self.body = Bytes::from(text.into_bytes());
        self
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        let pair = (HeaderName::from_static(name), HeaderValue::from_static(value));
        self.headers.push(pair);
        self
    }

    /// Sends it on a connection of its own, as part of `trace`.
    pub(super) async fn send(&self, to: SocketAddr, trace: &TraceParent) -> anyhow::Result<Answer> {
        let mut request = Request::post(&self.path)
            .header(header::HOST, to.to_string())
            .header(header::USER_AGENT, concat!("hookward-dev/", env!("CARGO_PKG_VERSION")))
            .header("traceparent", trace.value());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone()))?;
        match tokio::time::timeout(PATIENCE, exchange(to, request)).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
        }
    }

    /// It as a command for a shell.
    pub(super) fn curl(&self, to: SocketAddr) -> String {
        let mut command = format!("curl -i http://{to}{}", self.path);
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            // Writing to a string cannot fail.
            let _written = write!(command, " -H {}", quoted(&format!("{name}: {value}")));
        }
        let body = String::from_utf8_lossy(&self.body);
        command + " -d " + &quoted(&body)
    }
}

/// The text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A whole body of at most so many bytes.
pub(super) async fn whole(mut body: Incoming, at_most: usize) -> anyhow::Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > at_most {
            bail!("a body of more than {at_most} bytes");
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn exchange(to: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let outcome = response.headers().get("hookward-outcome");
        anyhow::Ok(Answer {
            status: response.status(),
            outcome: outcome.map_or_else(String::new, |value| {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            }),
            body: whole(response.into_body(), LONGEST_ANSWER).await?,
        })
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // The connection may end with the answer read but not yet looked at.
        closed = connection => {
            closed?;
            answered.await
        }
    }
}

fn trouble(problems: Vec<Problem>) -> anyhow::Error {
    let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
    anyhow::anyhow!(messages.join("; "))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("http://127.0.0.1:9480/x"), "http://127.0.0.1:9480/x");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}

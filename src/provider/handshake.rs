//! Handshakes: when a request is one, what proves who asks, and what the provider wants to hear.
//!
//! A handshake must never become a signing oracle: what is put through a MAC is a short token of `[A-Za-z0-9_-]`, and where
//! anybody may ask, no event is authentic whose signed text is such a token. What is echoed is short plain text with
//! `nosniff`, so that nothing can be reflected into a browser.

mod reply;

pub use reply::{MAX_TOKEN, fits, is_of};

use super::{
    evidence::{Answer, Cause},
    field::{Field, Found, Place, Scene},
    key_url::Named,
    mac::Mac,
    pick::Picks,
    preset::{Auth, ChallengeRule, Grammar, Want},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use reply::{Filling, MAX_ANSWER, Node, Text};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The longest body of a handshake that nothing proves.
const MAX_OPEN_BODY: usize = 16 * 1024;

/// A compiled handshake.
pub struct Challenge {
    when: Vec<(Field, Want)>,
    proof: Proof,
    status: StatusCode,
    headers: Vec<(HeaderName, Text)>,
    content_type: Option<HeaderValue>,
    body: Reply,
    grammar: Grammar,
    confirm: Option<Named>,
}

/// What proves who asks.
enum Proof {
    /// The request is verified as every event is.
    Signature,
    /// A token in the request, whose SHA-256 this is.
    Token(Method, Field, [u8; 32]),
    /// Nothing.
    None(Method),
}

enum Reply {
    Empty,
    Text(Text),
    Json(Node),
}

impl Challenge {
    pub fn compile(
        rule: &ChallengeRule,
        mut field: impl FnMut(&str) -> Result<Field, String>,
        mut setting: impl FnMut(&str) -> String,
    ) -> Result<Self, String> {
        let mut when = Vec::new();
        for (name, want) in &rule.when {
            when.push((field(name)?, want.clone()));
        }
        let reply = &rule.reply;
        let (body, kind) = match (&reply.body, &reply.json) {
            (Some(_), Some(_)) => return Err("say `body` or `json`, not both".to_owned()),
            (Some(text), None) => (
                Reply::Text(Text::parse(text, &mut field, &mut setting)?),
                Some("text/plain"),
            ),
            (None, Some(json)) => (
                Reply::Json(Node::parse(json, &mut field, &mut setting)?),
                Some("application/json"),
            ),
            (None, None) => (Reply::Empty, None),
        };
        let mut headers = Vec::new();
        for (name, text) in &reply.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
            headers.push((name, Text::parse(text, &mut field, &mut setting)?));
        }
        let status = StatusCode::from_u16(reply.status.unwrap_or(200))
            .ok()
            .filter(StatusCode::is_success)
            .ok_or("a handshake is answered with a status from 200 to 299")?;
        let content_type = match reply.content_type.as_deref().or(kind) {
            Some(text) => Some(HeaderValue::from_str(text).map_err(|_| "`content_type` is not a header value")?),
            None => None,
        };
        let confirm = match &rule.confirm {
            Some(_) if rule.auth != Auth::Signature => {
                return Err("what nothing proves is never visited: `confirm` needs `auth: signature`".to_owned());
            }
            Some(confirm) => Some(Named::new(field(&confirm.from)?, &confirm.hosts, Some(&confirm.path))),
            None => None,
        };
        let challenge = Self {
            confirm,
            when,
            proof: proof(rule, &mut field, &mut setting)?,
            status,
            headers,
            content_type,
            body,
            grammar: reply.macs,
        };
        challenge.check()?;
        Ok(challenge)
    }

    fn check(&self) -> Result<(), String> {
        let Some(method) = self.open_method() else {
            return if self.when.is_empty() {
                Err("`when` must name at least one field".to_owned())
            } else {
                Ok(())
            };
        };
        if self.when.is_empty() && method != Method::HEAD {
            return Err("`when` must name at least one field, but for HEAD".to_owned());
        }
        if self.when.iter().any(|(field, _)| !in_head(field)) {
            return Err(
                "without a signature only headers and the query tell a handshake: `when` reads more".to_owned(),
            );
        }
        let (mut macs_body, mut reads_body) = (false, false);
        self.fields(&mut |field, mac| {
            reads_body |= !in_head(field);
            macs_body |= mac && !in_head(field);
        });
        if reads_body && method != Method::POST {
            return Err(format!("a handshake by {method} has no body to read"));
        }
        if macs_body {
            return Err("without a signature nothing of the body may be put through the MAC".to_owned());
        }
        Ok(())
    }

    fn fields<'a>(&'a self, take: &mut dyn FnMut(&'a Field, bool)) {
        self.headers.iter().for_each(|(_, text)| text.fields(take));
        match &self.body {
            Reply::Empty => {}
            Reply::Text(text) => text.fields(take),
            Reply::Json(node) => node.fields(take),
        }
    }

    /// The method of a handshake that no signature proves.
    pub fn open_method(&self) -> Option<&Method> {
        match &self.proof {
            Proof::Signature => None,
            Proof::Token(method, ..) | Proof::None(method) => Some(method),
        }
    }

    /// What anybody may have put through the MAC; `None`: nothing.
    pub fn signs_for_anybody(&self) -> Option<Grammar> {
        let mut macs = false;
        self.fields(&mut |_, mac| macs |= mac);
        (macs && matches!(self.proof, Proof::None(_))).then_some(self.grammar)
    }

    /// Is this verified request the handshake?
    pub fn is_asked(&self, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
        matches!(self.proof, Proof::Signature) && self.holds(scene, picks)
    }

    /// Is this a handshake that no signature proves? The head tells.
    pub fn is_asked_openly(&self, scene: &Scene<'_>) -> bool {
        self.open_method() == Some(&scene.head.method) && self.holds(scene, None)
    }

    fn holds(&self, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
        self.when.iter().all(|(field, want)| match want {
            Want::Absent => !exists(field, scene, picks),
            Want::Present => exists(field, scene, picks),
            Want::Text(text) => is_text(field, text, scene, picks),
        })
    }

    /// Does the request bear the token, where it must bear one?
    pub fn admits(&self, scene: &Scene<'_>) -> Result<(), Cause> {
        let Proof::Token(_, field, digest) = &self.proof else {
            return Ok(());
        };
        match scene.read(field) {
            // An empty setting proves nothing, so nobody passes by an empty token.
            Found::Text(token) if !token.is_empty() && bool::from(Sha256::digest(&token).ct_eq(&digest[..])) => Ok(()),
            Found::Text(_) | Found::Missing => Err(Cause::VerifyTokenWrong(field.name.clone())),
            Found::Doubled => Err(Cause::FieldDoubled(field.name.clone())),
        }
    }

    /// Does it ask for a visit?
    pub fn asks_for_visit(&self) -> bool {
        self.confirm.is_some()
    }

    /// The URL that it asks to visit; refused if that is elsewhere.
    pub fn visit(&self, scene: &Scene<'_>) -> Option<Result<String, Cause>> {
        self.confirm.as_ref().map(|named| named.place(scene))
    }

    /// May a handshake that no signature proves have this many bytes of body?
    pub fn takes_body(&self, length: usize) -> bool {
        let mut reads_body = false;
        self.fields(&mut |field, _| reads_body |= !in_head(field));
        length <= if reads_body { MAX_OPEN_BODY } else { 0 }
    }

    /// The answer; `key` is the state of the secret that verified the request, or of the newest.
    pub fn answer(&self, scene: &Scene<'_>, key: Option<&Mac>) -> Result<Answer, Cause> {
        let with = Filling {
            scene,
            key,
            grammar: self.grammar,
            open: self.open_method().is_some(),
        };
        let malformed = || Cause::ChallengeMalformed(self.name());
        let body = match &self.body {
            Reply::Empty => String::new(),
            Reply::Text(text) => text.fill(&with)?,
            Reply::Json(node) => node.fill(&with)?.to_string(),
        };
        if body.len() > MAX_ANSWER {
            return Err(malformed());
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if let Some(kind) = &self.content_type {
            headers.push((header::CONTENT_TYPE, kind.clone()));
        }
        headers.push((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        for (name, text) in &self.headers {
            // What was not asked is not answered.
            let mut asked = true;
            text.fields(&mut |field, _| asked &= scene.read(field) != Found::Missing);
            if asked {
                let text = text.fill(&with)?;
                headers.push((name.clone(), HeaderValue::try_from(text).map_err(|_| malformed())?));
            }
        }
        Ok(Answer {
            status: self.status,
            headers,
            body: Bytes::from(body),
        })
    }

    fn name(&self) -> std::sync::Arc<str> {
        self.when
            .first()
            .map_or("handshake".into(), |(field, _)| field.name.clone())
    }
}

fn proof(
    rule: &ChallengeRule,
    field: &mut impl FnMut(&str) -> Result<Field, String>,
    setting: &mut impl FnMut(&str) -> String,
) -> Result<Proof, String> {
    if rule.auth == Auth::Signature {
        if rule.method.is_some() {
            return Err("`method` belongs to handshakes that no signature proves".to_owned());
        }
        return Ok(Proof::Signature);
    }
    let method = rule.method.as_deref().unwrap_or("POST");
    let method = Method::from_bytes(method.as_bytes())
        .ok()
        .filter(|method| [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST].contains(method))
        .ok_or_else(|| format!("`{method}` is no method of handshakes: GET, HEAD, OPTIONS or POST"))?;
    match (&rule.token, rule.auth) {
        (Some(place), Auth::VerifyToken) => {
            let place = field(place)?;
            if !in_head(&place) {
                return Err("`token` stands in a header or the query".to_owned());
            }
            Ok(Proof::Token(
                method,
                place,
                Sha256::digest(setting("verify_token")).into(),
            ))
        }
        (None, Auth::VerifyToken) => Err("`auth: verify_token` needs `token`: where it stands".to_owned()),
        (Some(_), _) => Err("`token` belongs to `auth: verify_token`".to_owned()),
        (None, _) => Ok(Proof::None(method)),
    }
}

fn in_head(field: &Field) -> bool {
    matches!(field.place, Place::Header(_) | Place::Query(_))
}

/// A field of any kind of value counts, not only a text.
fn exists(field: &Field, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
    match field.place {
        Place::Json(slot) => picks.is_some_and(|picks| picks.slot(slot).value().is_some()),
        _ => scene.read(field) != Found::Missing,
    }
}

fn is_text(field: &Field, text: &str, scene: &Scene<'_>, picks: Option<&Picks<'_>>) -> bool {
    match field.place {
        Place::Json(slot) => picks
            .and_then(|picks| picks.slot(slot).value())
            .and_then(|value| value.text_or_truth())
            .is_some_and(|value| value == text),
        _ => matches!(scene.read(field), Found::Text(value) if *value == *text.as_bytes()),
    }
}

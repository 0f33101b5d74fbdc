//! Providers that hand their secret out in a handshake (Asana, Notion). Whoever answers it takes any secret that anybody
//! sends, so it is answered only while an operator expects it.

use super::{
    evidence::Answer,
    pick::JsonPointer,
    preset::{EnrolmentRule, Preset},
};
use crate::event::{Frames, Secret};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

/// The longest body of such a handshake.
const MAX_BODY: usize = 16 * 1024;

/// Bytes of a secret that is worth the name.
const SECRET: std::ops::RangeInclusive<usize> = 8..=512;

/// A compiled enrolment.
pub struct Enrolment {
    secret: Place,
    echo: bool,
    /// What events bear and a handshake does not.
    signature: Vec<HeaderName>,
}

enum Place {
    Header(HeaderName),
    Json(JsonPointer),
}

/// A secret that a handshake handed out, and what the provider wants to hear.
pub struct HandedOut {
    /// The secret.
    pub secret: Secret,
    /// The answer.
    pub answer: Answer,
}

impl Enrolment {
    /// Compiles a preset's `enrolment`.
    pub fn compile(preset: &Preset) -> Result<Option<Self>, String> {
        let Some(EnrolmentRule { secret, echo }) = &preset.enrolment else {
            return Ok(None);
        };
        let header =
            |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header name"));
        let place = match secret.split_once(':') {
            Some(("header", name)) => Place::Header(header(name)?),
            Some(("json", pointer)) if !echo => Place::Json(JsonPointer::parse(pointer)?),
            Some(("json", _)) => return Err("`echo` sends a header back".to_owned()),
            _ => return Err("`secret` is `header:NAME` or `json:/pointer`".to_owned()),
        };
        let places = preset.signature.iter().flat_map(|rule| &rule.from.0);
        let names = places.filter_map(|place| place.strip_prefix("header:"));
        let signature: Vec<HeaderName> = names.map(header).collect::<Result<_, _>>()?;
        if signature.is_empty() {
            return Err("the signature of events must stand in a header, to tell a handshake by".to_owned());
        }
        Ok(Some(Self {
            secret: place,
            echo: *echo,
            signature,
        }))
    }

    /// Could this be the handshake? A signed request never is.
    pub fn is_asked(&self, head: &Parts) -> bool {
        let has = |name: &HeaderName| head.headers.contains_key(name);
        head.method == Method::POST
            && !self.signature.iter().any(has)
            && match &self.secret {
                Place::Header(name) => has(name),
                Place::Json(_) => true,
            }
    }

    /// The secret that it hands out.
    pub fn take(&self, head: &Parts, body: &Frames) -> Option<HandedOut> {
        if body.len() > MAX_BODY {
            return None;
        }
        let whole = body.joined();
        let text: Vec<u8> = match &self.secret {
            Place::Header(name) => {
                let mut values = head.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (Some(value), None) => value.as_bytes().to_vec(),
                    _ => return None,
                }
            }
            Place::Json(pointer) => pointer.text(&whole)?.into_owned().into_bytes(),
        };
        if !SECRET.contains(&text.len()) || !text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let mut headers = vec![(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
        if let (true, Place::Header(name)) = (self.echo, &self.secret) {
            let mut value = HeaderValue::from_bytes(&text).ok()?;
            value.set_sensitive(true);
            headers.push((name.clone(), value));
        }
        Some(HandedOut {
            secret: Secret::new(text),
            answer: Answer {
                status: StatusCode::OK,
                headers,
                body: Bytes::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::preset;
    use http::Request;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("/hook");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn enrolment(name: &str) -> Enrolment {
        let preset = preset(name).expect("a preset");
        Enrolment::compile(preset).expect("it compiles").expect("it enrols")
    }

    fn secret(enrolment: &Enrolment, head: &Parts, body: &str) -> Option<String> {
        assert!(enrolment.is_asked(head));
        let handed = enrolment.take(head, &Frames::from(Bytes::from(body.to_owned())))?;
        Some(String::from_utf8_lossy(handed.secret.expose()).into_owned())
    }

    #[test]
    fn asana_hands_it_out_in_a_header_and_hears_it_back() {
        let asana = enrolment("asana");
        let asked = head(&[("X-Hook-Secret", "asana test phrase")]);
        assert_eq!(secret(&asana, &asked, "").as_deref(), Some("asana test phrase"));
        let answer = asana.take(&asked, &Frames::default()).expect("a secret").answer;
        assert!(
            answer
                .headers
                .iter()
                .any(|(name, value)| name == "x-hook-secret" && value == "asana test phrase")
        );
        // An event, a doubled secret, one that is none.
        assert!(!asana.is_asked(&head(&[("X-Hook-Secret", "a"), ("X-Hook-Signature", "00")])));
        assert!(!asana.is_asked(&head(&[])));
        let doubled = head(&[
            ("X-Hook-Secret", "asana test phrase"),
            ("X-Hook-Secret", "another phrase"),
        ]);
        assert_eq!(secret(&asana, &doubled, ""), None);
        assert_eq!(secret(&asana, &head(&[("X-Hook-Secret", "short")]), ""), None);
    }

    #[test]
    fn notion_hands_it_out_in_the_body() {
        let notion = enrolment("notion");
        let asked = head(&[]);
        let body = r#"{"verification_token":"notion test phrase"}"#;
        assert_eq!(secret(&notion, &asked, body).as_deref(), Some("notion test phrase"));
        for wrong in [
            r#"{"verification_token":"notion test phrase","verification_token":"another phrase"}"#,
            r#"{"verification_token":"a\nb is a phrase"}"#,
            r#"{"other":1}"#,
            "",
        ] {
            assert_eq!(secret(&notion, &asked, wrong), None, "{wrong}");
        }
    }
}

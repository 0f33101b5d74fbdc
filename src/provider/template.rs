//! What is signed: a text with places that are filled with the request's very bytes.

use super::{
    canonical::{self, Listed, Named},
    evidence::Cause,
    field::{Field, Found, Place, Scene},
    url::{Form, PublicUrl},
};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A compiled template. No `Debug`: what stands in a literal may be a setting that nobody else may know.
#[derive(Clone, Default)]
pub struct Template {
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Clone)]
pub enum Piece {
    /// Bytes as they stand.
    Literal(Vec<u8>),
    /// The body.
    Body,
    /// The signed time, as received.
    Timestamp,
    /// The method.
    Method,
    /// The URL as the provider sees it.
    Url(Form),
    /// Hex of the SHA-256 of the URL.
    UrlDigest,
    /// The form, sorted and joined; nothing where the body is no form.
    FormSorted,
    /// The 32 bytes of the SHA-256 of the body.
    BodyDigest,
    /// The raw query, its parameters sorted by name.
    QuerySorted,
    /// CRC-32 of the body, in decimal: it covers the body against accidents, not against forgers.
    BodyCrc,
    /// The headers that the request itself lists.
    HeadersListed(Listed),
    /// The headers that the signature's own field lists.
    HeadersNamed(Named),
    /// The raw path, and the query escaped once more.
    TargetEscaped,
    /// URL, sorted query and sorted form.
    UrlQueryForm,
    /// A JSON value behind a line with its name; nothing where it is absent.
    Line(Field, Vec<u8>),
    /// The secret, for plain digests.
    Secret,
    /// A header, JSON value or form field.
    Field(Field),
}

impl Template {
    /// Compiles `text`; `field` resolves `header:X`, `json:/ptr`, `form:x`, and `setting` the `{config.NAME}`.
    pub fn parse(
        text: &str,
        mut field: impl FnMut(&str) -> Result<Field, String>,
        mut setting: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            template.literal(&rest[..at]);
            // A brace of the text itself is written twice.
            if rest[at..].starts_with("{{") || rest[at..].starts_with("}}") {
                template.literal(&rest[at..=at]);
                rest = &rest[at + 2..];
                continue;
            }
            let end = rest[at..]
                .find('}')
                .filter(|_| rest[at..].starts_with('{'))
                .ok_or_else(|| format!("`{text}` has a brace without its other half"))?;
            let name = &rest[at + 1..at + end];
            rest = &rest[at + end + 1..];
            template.pieces.push(match name {
                "body" => Piece::Body,
                "timestamp" => Piece::Timestamp,
                "method" => Piece::Method,
                "url" => Piece::Url(Form::Whole),
                "url_with_port" => Piece::Url(Form::WithPort),
                "url_without_port" => Piece::Url(Form::WithoutPort),
                "url_without_query" => Piece::Url(Form::WithoutQuery),
                "url_sha256" => Piece::UrlDigest,
                "form_sorted" => Piece::FormSorted,
                "body_sha256" => Piece::BodyDigest,
                "query_sorted" => Piece::QuerySorted,
                "body_crc32" => Piece::BodyCrc,
                "target_escaped" => Piece::TargetEscaped,
                "url_query_form" => Piece::UrlQueryForm,
                "secret" => Piece::Secret,
                _ => match name.split_once('.') {
                    Some(("config", name)) => {
                        let value = setting(name)?;
                        template.literal(&value);
                        continue;
                    }
                    // Of a header, an absent one would be a doubt; of JSON, senders leave empty fields out.
                    Some(("json", name)) if name.ends_with('?') => Piece::Field(Field {
                        optional: true,
                        ..field(&format!("json:{}", name.trim_end_matches('?')))?
                    }),
                    Some(("line", name)) => {
                        let label = name.rsplit('/').next().unwrap_or_default();
                        Piece::Line(field(&format!("json:{name}"))?, label.as_bytes().to_vec())
                    }
                    Some(("headers_listed", names)) => Piece::HeadersListed(Listed::parse(names)?),
                    Some(("headers_named", part)) => Piece::HeadersNamed(Named { part: part.to_owned() }),
                    Some((kind @ ("header" | "json" | "form" | "query"), name)) => {
                        Piece::Field(field(&format!("{kind}:{name}"))?)
                    }
                    _ => {
                        return Err(format!(
                            "`{{{name}}}` is not a place: these are `{{body}}`, `{{timestamp}}`, `{{header.NAME}}`, `{{json./POINTER}}`, \
                             `{{form.NAME}}`, `{{query.NAME}}`, `{{method}}`, `{{url}}`, `{{config.NAME}}`"
                        ));
                    }
                },
            });
        }
        template.literal(rest);
        Ok(template)
    }

    /// Its text, if no place of the request is in it.
    pub fn text(&self) -> Option<String> {
        let mut text = Vec::new();
        for piece in &self.pieces {
            let Piece::Literal(bytes) = piece else { return None };
            text.extend_from_slice(bytes);
        }
        String::from_utf8(text).ok()
    }

    fn literal(&mut self, text: &str) {
        if let Some(Piece::Literal(bytes)) = self.pieces.last_mut() {
            bytes.extend_from_slice(text.as_bytes());
        } else if !text.is_empty() {
            self.pieces.push(Piece::Literal(text.as_bytes().to_vec()));
        }
    }

    /// Does any piece satisfy `is`?
    pub fn has(&self, is: impl Fn(&Piece) -> bool) -> bool {
        self.pieces.iter().any(is)
    }

    /// Does it hold the body, raw, as a form or as its digest?
    pub fn has_body(&self) -> bool {
        self.has(|piece| {
            matches!(
                piece,
                Piece::Body | Piece::BodyDigest | Piece::FormSorted | Piece::UrlQueryForm
            )
        })
    }

    /// Does it hold the URL?
    pub fn has_url(&self) -> bool {
        self.has(|piece| matches!(piece, Piece::Url(_) | Piece::UrlDigest | Piece::UrlQueryForm))
    }

    /// Does it hold the field at this place?
    pub fn has_field(&self, name: &Field) -> bool {
        self.has(|piece| match piece {
            Piece::Field(field) | Piece::Line(field, _) => match (&field.place, &name.place) {
                // Slots of different pointer sets: the pointer itself is what is compared.
                (Place::Json(_), Place::Json(_)) => field.name == name.name,
                (one, other) => one == other,
            },
            Piece::HeadersListed(listed) => name
                .header()
                .is_some_and(|name| *name == listed.list || listed.must.contains(name)),
            _ => false,
        })
    }

    /// Where the only `{body}` stands, if all that is needed before it is known with the head, so that the body can be hashed
    /// as it arrives.
    pub fn streams_at(&self) -> Option<usize> {
        let at = self.pieces.iter().position(|piece| matches!(piece, Piece::Body))?;
        let whole = |pieces: &[Piece]| {
            pieces.iter().all(|piece| match piece {
                Piece::Literal(_)
                | Piece::Timestamp
                | Piece::Method
                | Piece::Url(_)
                | Piece::UrlDigest
                | Piece::HeadersListed(_)
                | Piece::HeadersNamed(_)
                | Piece::TargetEscaped
                | Piece::QuerySorted => true,
                Piece::Field(field) => field.in_head(),
                Piece::Body
                | Piece::BodyDigest
                | Piece::BodyCrc
                | Piece::FormSorted
                | Piece::UrlQueryForm
                | Piece::Line(..)
                | Piece::Secret => false,
            })
        };
        (whole(&self.pieces[..at]) && whole(&self.pieces[at + 1..])).then_some(at)
    }
}

/// Hands the bytes of `pieces` to `sink`.
pub fn render(pieces: &[Piece], scene: &Scene<'_>, mut sink: impl FnMut(&[u8])) -> Result<(), Cause> {
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => sink(bytes),
            Piece::Body => {
                for frame in scene.body.into_iter().flat_map(crate::event::Frames::iter) {
                    sink(frame);
                }
            }
            Piece::Timestamp => sink(
                scene
                    .time
                    .as_deref()
                    .ok_or_else(|| Cause::TimestampMissing("timestamp".into()))?,
            ),
            Piece::Method => sink(scene.head.method.as_str().as_bytes()),
            Piece::Url(form) => base(scene)?.write(scene.target(), *form, |part| sink(part.as_bytes())),
            Piece::UrlDigest => sink(HEXLOWER.encode(&Sha256::digest(url(scene, Form::Whole)?)).as_bytes()),
            Piece::FormSorted => sink(scene.form_sorted.unwrap_or_default()),
            Piece::BodyDigest => {
                let mut digest = Sha256::new();
                for frame in scene.body.into_iter().flat_map(crate::event::Frames::iter) {
                    digest.update(frame);
                }
                sink(&digest.finalize());
            }
            Piece::QuerySorted => {
                let mut pairs: Vec<&str> = scene.head.uri.query().unwrap_or_default().split('&').collect();
                // Stable, so that a name that comes twice keeps the order of its values.
                pairs.sort_by_key(|pair| pair.split('=').next());
                sink(pairs.join("&").as_bytes());
            }
            Piece::BodyCrc => sink(canonical::crc32(scene.body).as_bytes()),
            Piece::HeadersListed(listed) => sink(&listed.text(scene)?),
            Piece::HeadersNamed(named) => sink(&named.text(scene)?),
            Piece::TargetEscaped => sink(canonical::target_escaped(scene).as_bytes()),
            Piece::UrlQueryForm => sink(&canonical::url_query_form(scene)?),
            Piece::Line(field, label) => match scene.read(field) {
                Found::Text(text) => [label, &b"\n"[..], &text, b"\n"].into_iter().for_each(&mut sink),
                Found::Missing if scene.lacks(field) => {}
                Found::Missing => return Err(Cause::FieldWrong(field.name.clone())),
                Found::Doubled => return Err(Cause::FieldDoubled(field.name.clone())),
            },
            Piece::Secret => sink(scene.secret.unwrap_or_default()),
            Piece::Field(field) => match scene.read(field) {
                Found::Text(text) => sink(&text),
                Found::Missing if field.optional && scene.lacks(field) => {}
                Found::Missing => return Err(Cause::FieldMissing(field.name.clone())),
                Found::Doubled => return Err(Cause::FieldDoubled(field.name.clone())),
            },
        }
    }
    Ok(())
}

fn url(scene: &Scene<'_>, form: Form) -> Result<String, Cause> {
    Ok(base(scene)?.of(scene.target(), form))
}

fn base<'a>(scene: &Scene<'a>) -> Result<&'a PublicUrl, Cause> {
    scene.base.ok_or_else(|| Cause::FieldMissing("public_url".into()))
}

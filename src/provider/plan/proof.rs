//! The part of a plan that verification needs: signature, templates, time, and what they cover.

use super::{BodyHash, Stated, Time, draft::Draft};
use crate::provider::{
    Tolerance, facts,
    field::{Field, Place},
    key_url::{KeyUrl, Named},
    message,
    pick::Pointers,
    preset::{Algorithm, Covers, Encoded, OneOrMany, SignatureRule, Unit},
    signature::Signature,
    template::{Piece, Template},
};

/// Templates that are tried at most: each costs a MAC over the body.
const MAX_TEMPLATES: usize = 4;

impl Draft<'_> {
    pub(super) fn signature(&mut self) -> Option<Signature> {
        if let Some(rule) = &self.preset.message_signature {
            return Some(self.message_signature(rule));
        }
        let rule = self.preset.signature.as_ref()?;
        let (from, prefix) = self.moved(rule);
        let mut fields = Vec::new();
        for (index, name) in from.0.iter().enumerate() {
            let at = if from.0.len() == 1 {
                String::new()
            } else {
                format!("/{index}")
            };
            fields.extend(self.proof_field(&format!("/verify/signature/from{at}"), name));
        }
        let split = rule.split.as_deref().and_then(|split| {
            let written = match rule.encoding {
                Encoded::Hex => "",
                Encoded::Base64 => "+/=",
                Encoded::Base64url => "-_",
            };
            let fault = match split.as_bytes() {
                [byte] if byte.is_ascii_alphanumeric() || written.contains(split) => {
                    "a signature is written with that character, so it separates none"
                }
                [byte] => return Some(*byte),
                _ => "the separator must be one ASCII character",
            };
            self.problem("/verify/signature/split", fault, None);
            None
        });
        let template = self.template("/verify/signature/prefix", &prefix);
        let prefix = match &template.pieces[..] {
            [] => Vec::new(),
            [Piece::Literal(bytes)] => bytes.clone(),
            _ => {
                self.problem(
                    "/verify/signature/prefix",
                    "a prefix may hold `{config.NAME}` only",
                    None,
                );
                Vec::new()
            }
        };
        if prefix.first().is_some_and(u8::is_ascii_whitespace) || split.is_some_and(|split| prefix.contains(&split)) {
            self.problem(
                "/verify/signature/prefix",
                "no signature begins so: spaces around it do not count, and it ends at the separator",
                None,
            );
        }
        if fields.is_empty() {
            return None;
        }
        Some(Signature {
            from: fields,
            split,
            prefix,
            encoding: rule.encoding,
            message: None,
        })
    }

    /// Where a movable credential stands by the source's settings: elsewhere than in `Authorization` it is bare.
    pub(super) fn moved(&mut self, rule: &SignatureRule) -> (OneOrMany, String) {
        let preset = (rule.from.clone(), rule.prefix.clone());
        if !rule.movable {
            return preset;
        }
        self.settings.extend(["header".to_owned(), "query".to_owned()]);
        match (self.options.settings.get("header"), self.options.settings.get("query")) {
            (None, None) => preset,
            (Some(_), Some(_)) => {
                self.problem("/settings/query", "say `header` or `query`, not both", None);
                preset
            }
            (Some(header), None) if header.eq_ignore_ascii_case("authorization") => preset,
            (Some(header), None) => (OneOrMany(vec![format!("header:{header}")]), String::new()),
            (None, Some(query)) => (OneOrMany(vec![format!("query:{query}")]), String::new()),
        }
    }

    pub(super) fn templates(&mut self) -> Vec<Template> {
        let bare = self.preset.algorithm.is_bare() || self.preset.algorithm.is_jwt();
        let Some(signed) = &self.preset.signed else {
            return if bare || self.preset.message_signature.is_some() {
                Vec::new()
            } else {
                vec![self.template("/verify/signed", "{body}")]
            };
        };
        if bare {
            let message = format!("`signed` means nothing with {}", self.preset.algorithm.as_str());
            self.problem("/verify/signed", message, None);
            return Vec::new();
        }
        if signed.0.len() > MAX_TEMPLATES {
            let message = format!("at most {MAX_TEMPLATES} alternatives: each one costs a signature over the body");
            self.problem("/verify/signed", message, None);
        }
        let single = signed.0.len() == 1;
        let compiled = signed.0.iter().take(MAX_TEMPLATES).enumerate();
        compiled
            .map(|(index, text)| {
                let at = if single { String::new() } else { format!("/{index}") };
                self.template(&format!("/verify/signed{at}"), text)
            })
            .collect()
    }

    pub(super) fn time(&mut self) -> Option<Time> {
        let message = self.preset.message_signature.is_some();
        let Some(rule) = &self.preset.timestamp else {
            // Every signature of RFC 9421 states when it was made.
            return message.then(|| Time {
                field: message::created(),
                unit: Unit::S,
                window: facts::window(None, self.options),
            });
        };
        if message && (rule.from != "signature:created" || rule.unit != Unit::S) {
            self.problem(
                "/verify/timestamp",
                "the signed time of RFC 9421 is `signature:created`, in seconds",
                None,
            );
        }
        let field = self.proof_field("/verify/timestamp/from", &rule.from)?;
        let own = rule.tolerance.map(|past| Tolerance {
            past: past.0,
            future: rule.future.unwrap_or(past).0,
        });
        Some(Time {
            field,
            unit: rule.unit,
            window: facts::window(own, self.options),
        })
    }

    pub(super) fn key_url(&mut self) -> Option<KeyUrl> {
        let rule = self.preset.key_url.as_ref()?;
        let at = "/verify/key_url";
        if !self.preset.algorithm.is_asymmetric() {
            self.problem(at, "a shared secret stands at no URL", None);
        }
        if self.preset.message_signature.is_some() {
            self.problem(
                at,
                "the keys of HTTP message signatures are pinned",
                Some("name them in `secrets`"),
            );
            return None;
        }
        match (&rule.url, &rule.from) {
            (Some(url), None) => {
                let known = self.problems.len();
                let whole = self.template("/verify/key_url/url", url);
                if self.problems.len() > known {
                    return None;
                }
                let text = whole.text().ok_or("only `{config.NAME}` may stand in it".to_owned());
                self.kept("/verify/key_url/url", text.and_then(|url| KeyUrl::fixed(&url)))
            }
            (None, Some(from)) => {
                let field = self.proof_field("/verify/key_url/from", from)?;
                if rule.hosts.is_empty() {
                    self.problem("/verify/key_url/hosts", "without a host no request passes", None);
                }
                if self.preset.each.is_some() || self.preset.algorithm.is_jwt() {
                    self.problem(
                        "/verify/key_url/from",
                        "one key for the whole request, which is no JWT",
                        None,
                    );
                }
                Some(KeyUrl::Named(Named::new(field, &rule.hosts, rule.path.as_deref())))
            }
            _ => {
                self.problem(at, "it is either one `url`, or `from` with `hosts` and `path`", None);
                None
            }
        }
    }

    pub(super) fn require(&mut self) -> Vec<(Field, Vec<Template>)> {
        let rules = self.preset.require.iter();
        rules
            .filter_map(|(name, value)| {
                let at = format!("/verify/require/{}", name.replace('~', "~0").replace('/', "~1"));
                let field = self.proof_field(&at, name)?;
                let values = value.0.iter().map(|text| self.template(&at, text));
                Some((field, values.collect()))
            })
            .collect()
    }

    pub(super) fn body_hash(&mut self) -> Option<BodyHash> {
        let rule = self.preset.body_hash.as_ref()?;
        let field = self.proof_field("/verify/body_hash/from", &rule.from)?;
        Some(BodyHash {
            field,
            encoding: rule.encoding,
            unless: rule.unless,
            of: rule.of,
        })
    }

    /// `digest`, which `rsa-sha256-or-sha1` needs and no other algorithm has.
    pub(super) fn digest(&mut self) -> Option<Stated> {
        let either = self.preset.algorithm == Algorithm::RsaSha256OrSha1;
        let Some(rule) = &self.preset.digest else {
            if either {
                self.problem(
                    "/verify/digest",
                    "`rsa-sha256-or-sha1` needs the field that states which digest was signed",
                    Some("add `digest: {from: json:/SignatureVersion, sha1: \"1\", sha256: \"2\"}`"),
                );
            }
            return None;
        };
        if !either {
            self.problem("/verify/digest", "only `rsa-sha256-or-sha1` has two digests", None);
        }
        if rule.sha1 == rule.sha256 {
            self.problem("/verify/digest", "the same value cannot state both digests", None);
        }
        let field = self.proof_field("/verify/digest/from", &rule.from)?;
        Some(Stated {
            field,
            sha1: rule.sha1.clone(),
            sha256: rule.sha256.clone(),
        })
    }

    pub(super) fn each(&mut self) -> Option<(Pointers, usize)> {
        let pointer = self.preset.each.as_ref()?;
        let mut pointers = Pointers::default();
        if !pointer.split('/').any(|token| token == "*") {
            self.problem("/verify/each", "it must name every element of a list with `*`", None);
        }
        let slot = pointers.add(pointer);
        self.kept("/verify/each", slot).map(|slot| (pointers, slot))
    }

    /// What the signature covers by what is signed.
    pub(super) fn covers(&self, templates: &[Template], body_hash: bool, each: bool) -> Covers {
        let algorithm = self.preset.algorithm;
        if algorithm.is_bare() {
            return Covers::Nothing;
        }
        if algorithm.is_jwt() {
            return if body_hash { Covers::Body } else { Covers::Nothing };
        }
        if each {
            return Covers::Fields;
        }
        if templates.iter().all(Template::has_body) {
            return Covers::Body;
        }
        let some = templates.iter().all(|one| {
            one.has(|piece| {
                matches!(
                    piece,
                    Piece::Field(_) | Piece::Line(..) | Piece::Url(_) | Piece::BodyCrc
                )
            })
        });
        if some { Covers::Fields } else { Covers::Nothing }
    }

    pub(super) fn is_signed(&self, field: &Field, templates: &[Template], covers: Covers, body_hash: bool) -> bool {
        if self.preset.algorithm.is_bare() {
            return false;
        }
        if let Some(message) = &self.message {
            return message.signs(field);
        }
        if self.preset.algorithm.is_jwt() {
            return match field.place {
                Place::Claim(_) => true,
                Place::Json(_) | Place::Form(_) => body_hash,
                _ => false,
            };
        }
        let named = !templates.is_empty() && templates.iter().all(|template| template.has_field(field));
        match field.place {
            Place::Json(_) | Place::Form(_) => covers == Covers::Body || named,
            Place::Query(_) => {
                let whole = |piece: &Piece| match piece {
                    Piece::Url(form) => *form != crate::provider::url::Form::WithoutQuery,
                    piece => matches!(piece, Piece::TargetEscaped | Piece::UrlQueryForm),
                };
                named || (!templates.is_empty() && templates.iter().all(|template| template.has(whole)))
            }
            Place::Header(_) => named,
            Place::Claim(_) | Place::Part(_) => false,
        }
    }
}

//! The compilation of a plan, field by field.

use super::{Plan, Role, Time, known};
use crate::provider::{
    Options, Preset, Problem, facts,
    field::Field,
    message::Message,
    pick::Pointers,
    preset::{Algorithm, BodyRule, Digested, OneOrMany},
    second::Seconds,
    template::{Piece, Template},
    url::PublicUrl,
};
use http::Method;
use std::{collections::BTreeSet, sync::Arc};

/// A plan in the making.
pub struct Draft<'a> {
    pub(super) preset: &'a Preset,
    pub(super) options: &'a Options,
    pub(super) problems: Vec<Problem>,
    pub(super) proof: Pointers,
    pub(super) known: Pointers,
    pub(super) claims: Pointers,
    pub(super) settings: BTreeSet<String>,
    /// Second names of headers.
    pub(super) seconds: Seconds,
    /// What a signature of RFC 9421 must be, if it is one.
    pub(super) message: Option<Arc<Message>>,
}

impl<'a> Draft<'a> {
    pub fn new(preset: &'a Preset, options: &'a Options) -> Self {
        Self {
            preset,
            options,
            problems: Vec::new(),
            proof: Pointers::default(),
            known: Pointers::default(),
            claims: Pointers::default(),
            settings: BTreeSet::new(),
            seconds: Seconds::default(),
            message: None,
        }
    }

    pub fn compile(mut self) -> (Plan, Vec<Problem>) {
        let preset = self.preset;
        let seconds = Seconds::of(&preset.second_headers);
        self.seconds = self.kept("/verify/second_headers", seconds).unwrap_or_default();
        let signature = self.signature();
        let templates = self.templates();
        let time = self.time();
        let streams_at = streams_at(preset.algorithm, &templates, time.as_ref());
        let body_hash = self.body_hash();
        let covers_body = body_hash.as_ref().is_some_and(|hash| hash.of == Digested::Body);
        let require = self.require();
        let digest = self.digest();
        let key_url = self.key_url();
        let each = self.each();
        let message = signature.as_ref().and_then(|signature| signature.message.clone());
        let covers = match &message {
            Some(message) => message.covers(),
            None => self.covers(&templates, covers_body, each.is_some()),
        };
        self.message.clone_from(&message);
        let id = self.ids(&templates, covers, covers_body);
        let (event, action) = self.events(&templates, covers);
        let event_signed = !event.is_empty()
            && event
                .iter()
                .all(|field| self.is_signed(field, &templates, covers, covers_body));
        let tenant = preset
            .tenant
            .as_ref()
            .map(|names| self.known_fields("/verify/tenant", names))
            .unwrap_or_default();
        let repeatable = self.repeatable();
        let challenges = self.challenges();
        let signs_url = templates.iter().any(Template::has_url)
            || require.iter().any(|(_, values)| values.iter().any(Template::has_url));
        let sign = |is: fn(&Piece) -> bool| templates.iter().any(|one| one.has(is));
        let signs_query = message.as_ref().is_some_and(|message| message.signs_query())
            || sign(|piece| matches!(piece, Piece::QuerySorted | Piece::TargetEscaped));
        let needs_url = signs_url || message.as_ref().is_some_and(|message| message.needs_url());
        let base = self.base(needs_url);
        let signs_form = sign(|piece| matches!(piece, Piece::FormSorted | Piece::UrlQueryForm));
        let leeway = match &time {
            Some(time) => time.window,
            None => facts::window(None, self.options),
        };
        let plan = Plan {
            algorithm: match preset.algorithm {
                // RFC 9421 knows the name in this form only.
                Algorithm::EcdsaP256Sha256 if message.is_some() => Algorithm::EcdsaP256Sha256Fixed,
                other => other,
            },
            key: preset.key,
            signed_fields: match &message {
                Some(message) => message.signed_fields(),
                None => known::signed_fields(&templates, time.as_ref()),
            },
            signs_method: message.as_ref().is_some_and(|message| message.signs_method())
                || sign(|piece| matches!(piece, Piece::Method)),
            digests_body: !preset.algorithm.is_bare()
                && !id.iter().any(|id| matches!(id.role, Role::Key | Role::KeyUnless(_))),
            methods: self.methods(),
            each,
            signature,
            templates,
            streams_at,
            time,
            body_hash,
            digest,
            require,
            key_url,
            id,
            names_id: self.options.id.is_some(),
            new_id: self.preset.on_new_id,
            event,
            event_signed,
            action,
            tenant,
            repeatable,
            body: self.preset.body.unwrap_or(BodyRule::MayRepeat),
            confirms: self.confirms(&challenges),
            challenges,
            signs_url,
            needs_url,
            signs_query,
            covers,
            base,
            signs_form,
            // Known once the plan is whole.
            reads_body: true,
            leeway,
            proof: self.proof.clone(),
            known: self.known.clone(),
            claims: self.claims.clone(),
            settings: std::mem::take(&mut self.settings),
        };
        self.check(&plan);
        (plan, self.problems)
    }

    pub(super) fn problem(&mut self, at: &str, message: impl Into<String>, hint: Option<&str>) {
        self.problems.push(Problem {
            at: at.to_owned(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        });
    }

    pub(super) fn proof_field(&mut self, at: &str, text: &str) -> Option<Field> {
        let parsed = Field::parse(text, &mut self.proof, &mut self.claims);
        self.apart(at, parsed)
    }

    pub(super) fn known_field(&mut self, at: &str, text: &str) -> Option<Field> {
        let parsed = Field::parse(text, &mut self.known, &mut self.claims);
        self.apart(at, parsed)
    }

    pub(super) fn known_fields(&mut self, at: &str, names: &OneOrMany) -> Vec<Field> {
        let single = names.0.len() == 1;
        let mut fields = Vec::new();
        for (index, name) in names.0.iter().enumerate() {
            let at = if single { at.to_owned() } else { format!("{at}/{index}") };
            fields.extend(self.known_field(&at, name));
        }
        fields
    }

    /// A field that is no part of the signature's own text.
    fn apart(&mut self, at: &str, parsed: Result<Field, String>) -> Option<Field> {
        let field = self.kept(at, parsed).map(|field| self.seconds.named(field))?;
        let rule = self.preset.signature.as_ref();
        let prefix = rule.map_or("", |rule| &rule.prefix);
        let part = field.part().unwrap_or_default();
        let separator = rule.and_then(|rule| rule.split.as_deref()).unwrap_or_default();
        if !separator.is_empty() && part.contains(separator) {
            self.problem(at, "no part holds the separator (`signature.split`)", None);
            return None;
        }
        // A part without a name is the first one, and a signature without a prefix any.
        if !part.is_empty() && !prefix.is_empty() && (part.starts_with(prefix) || prefix.starts_with(part)) {
            self.problem(at, "what begins so is the signature itself (`signature.prefix`)", None);
            return None;
        }
        Some(field)
    }

    pub(super) fn kept<T>(&mut self, at: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.problem(at, message, None)).ok()
    }

    pub(super) fn template(&mut self, at: &str, text: &str) -> Template {
        let (proof, claims, settings) = (&mut self.proof, &mut self.claims, &mut self.settings);
        let seconds = &self.seconds;
        let given = &self.options.settings;
        let mut missing = None;
        let parsed = Template::parse(
            text,
            |name| Field::parse(name, proof, claims).map(|field| seconds.named(field)),
            |name| {
                settings.insert(name.to_owned());
                Ok(given.get(name).cloned().unwrap_or_else(|| {
                    missing = Some(name.to_owned());
                    String::new()
                }))
            },
        );
        if let Some(name) = missing {
            self.missing_setting(&name);
        }
        self.kept(at, parsed).unwrap_or_default()
    }

    /// Says once that a setting is missing, wherever it is used.
    pub(super) fn missing_setting(&mut self, name: &str) {
        let at = format!("/settings/{name}");
        if self.problems.iter().all(|problem| problem.at != at) {
            let hint = if name == "verify_token" {
                "make one up, enter it at the provider and write `settings: {verify_token: {file: PATH}}`"
            } else {
                "its page at the provider shows the value"
            };
            self.problem(&at, format!("this provider needs `settings.{name}`"), Some(hint));
        }
    }

    fn base(&mut self, signs_url: bool) -> Option<PublicUrl> {
        match &self.options.public_url {
            Some(text) => {
                let parsed = PublicUrl::parse(text).map_err(|why| format!("`{text}` is not a public URL: {why}"));
                self.kept("/public_url", parsed)
            }
            None if signs_url => {
                self.problem(
                    "/public_url",
                    "this provider signs the URL, so it must be known as the provider sees it",
                    Some("write `public_url: https://hooks.example.com`, exactly the scheme and host entered at the provider"),
                );
                None
            }
            None => None,
        }
    }

    fn methods(&mut self) -> Vec<Method> {
        let mut methods = Vec::new();
        for (index, name) in self.preset.methods.iter().enumerate() {
            match Method::from_bytes(name.as_bytes()) {
                Ok(method) if matches!(name.as_str(), "POST" | "GET" | "PUT" | "PATCH" | "DELETE") => {
                    methods.push(method);
                }
                _ => self.problem(
                    &format!("/verify/methods/{index}"),
                    format!("`{name}` is not a method that webhooks use"),
                    Some("POST, GET, PUT, PATCH or DELETE"),
                ),
            }
        }
        if methods.is_empty() {
            methods.push(Method::POST);
        }
        methods
    }
}

/// Where the body stands in the only template, if it can be hashed as it arrives.
fn streams_at(algorithm: Algorithm, templates: &[Template], time: Option<&Time>) -> Option<usize> {
    let [one] = templates else { return None };
    // A time from the body is known too late to hash the body behind it.
    let late = time.is_some_and(|time| !time.field.in_head()) && one.has(|piece| matches!(piece, Piece::Timestamp));
    let streamed = !algorithm.is_asymmetric() && !algorithm.is_jwt() && !algorithm.is_plain_digest() && !late;
    one.streams_at().filter(|_| streamed)
}

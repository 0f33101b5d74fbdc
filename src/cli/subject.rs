//! The source that a verb is about: found by its name, and compiled as the sidecar compiles it.

use super::{Exit, complain};
use crate::{
    config::{self, Settings, settings::SourceSettings},
    event::{PathRule, Timestamp},
    provider::{KeyText, Keys, Options, Problem, Provider},
};

/// A source with its provider and secrets compiled.
pub(super) struct Subject<'a> {
    pub settings: &'a SourceSettings,
    pub provider: Provider,
    pub keys: Keys,
    /// The secrets as written, for a diagnosis.
    pub texts: Vec<KeyText>,
    pub not_after: Vec<Option<Timestamp>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSubject {
    /// The configuration has no such source.
    #[error("{0}")]
    Unknown(String),
    /// Its secret cannot be read now (`on_missing_secret: unavailable`).
    #[error("{0}")]
    NoSecret(String),
    /// The rooms disagree about what is valid.
    #[error("{0}")]
    Broken(String),
}

impl NoSubject {
    /// Says why, and with which exit code to leave.
    pub(super) fn complain(&self) -> Exit {
        complain(&format!("error: {self}"));
        match self {
            Self::Unknown(_) => Exit::Usage,
            Self::NoSecret(_) => Exit::NoSecret,
            Self::Broken(_) => Exit::Config,
        }
    }
}

impl<'a> Subject<'a> {
    /// The source of this name.
    pub(super) fn of(settings: &'a Settings, name: &str) -> Result<Self, NoSubject> {
        let source = settings.sources.iter().find(|source| source.name.as_str() == name);
        let source = source.ok_or_else(|| NoSubject::Unknown(unknown(settings, name)))?;
        if let Some(reason) = &source.unavailable {
            return Err(NoSubject::NoSecret(format!("source `{name}`: {reason}")));
        }
        let provider = Provider::compile(&source.preset, &source.options).map_err(|all| broken(name, &all))?;
        let texts: Vec<KeyText> = source.secrets.iter().map(|secret| secret.text.clone()).collect();
        let keys = provider.keys(&texts).map_err(|all| broken(name, &all))?;
        let ends = source.secrets.iter().map(|secret| secret.not_after);
        Ok(Self {
            not_after: ends.map(|end| end.map(Timestamp::from_secs)).collect(),
            settings: source,
            provider,
            keys,
            texts,
        })
    }

    /// The provider as it would be with another `public_url`.
    pub(super) fn seen_at(&self, public_url: &str) -> Result<Provider, String> {
        let options = Options {
            public_url: Some(public_url.to_owned()),
            ..self.settings.options.clone()
        };
        Provider::compile(&self.settings.preset, &options).map_err(|problems| said(&problems))
    }

    /// The path of the source that this request path belongs to; its first one if it belongs to none.
    pub(super) fn rule_for(&self, path: &str) -> Option<&'a PathRule> {
        let paths = &self.settings.paths;
        paths.iter().find(|rule| is_on(rule, path)).or_else(|| paths.first())
    }
}

/// Does this path belong to the rule?
pub(super) fn is_on(rule: &PathRule, path: &str) -> bool {
    match rule {
        PathRule::Exact(exact) => exact == path,
        PathRule::Below(prefix) => path.len() > prefix.len() && path.starts_with(prefix.as_str()),
    }
}

fn unknown(settings: &Settings, name: &str) -> String {
    let names = || settings.sources.iter().map(|source| source.name.as_str());
    match config::nearest(name, names()) {
        Some(meant) => format!("there is no source `{name}`; did you mean `{meant}`?"),
        None => format!(
            "there is no source `{name}`; there is {}",
            names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn broken(name: &str, problems: &[Problem]) -> NoSubject {
    NoSubject::Broken(format!("source `{name}`: {}", said(problems)))
}

fn said(problems: &[Problem]) -> String {
    let texts: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    texts.join("; ")
}

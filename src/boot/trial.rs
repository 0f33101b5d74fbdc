//! A trial of one source: a signed sample event, or one that is wrong on purpose, sent as its provider would send it.

mod bad;
mod letter;
mod post;
mod verdict;

pub use bad::Bad;
pub use letter::{Content, Letter};
pub use post::{Address, PostError, Told};
pub use verdict::{Sent, Try};

use super::Core;
use crate::{
    config::{Settings, settings::SourceSettings},
    event::{Clock, PathRule, Timestamp},
    provider::{Fresh, KeyText, Problem, Provider},
    source::{Outcome, selects},
    telemetry::entropy,
};
use std::{net::SocketAddr, sync::Arc};

/// What somebody wants to try.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The event; else the first sample that the source selects.
    pub event: Option<String>,
    /// A body of one's own instead of a sample.
    pub content: Option<Content>,
    /// What is to be wrong with it.
    pub bad: Option<Bad>,
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotTry {
    /// The source waits for its secret.
    #[error("{0}")]
    NoSecret(String),
    /// This source has nothing that could be wrong in this way, or its provider cannot be stood in for.
    #[error("{0}")]
    Impossible(String),
}

/// A source, compiled, and what goes to it.
pub struct Trial<'a> {
    settings: &'a Settings,
    source: &'a SourceSettings,
    letter: Letter,
    wish: Wish,
    expected: Vec<Outcome>,
    doubt: Option<String>,
}

impl<'a> Trial<'a> {
    /// Writes and signs what is to be sent at `now`.
    pub fn prepare(
        settings: &'a Settings,
        source: &'a SourceSettings,
        wish: Wish,
        now: Timestamp,
    ) -> Result<Self, CannotTry> {
        if let Some(reason) = &source.unavailable {
            return Err(CannotTry::NoSecret(format!("source `{}`: {reason}", source.name)));
        }
        let impossible = |problems: Vec<Problem>| {
            let texts: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            CannotTry::Impossible(texts.join("; "))
        };
        let provider = Provider::compile(&source.preset, &source.options).map_err(impossible)?;
        let texts: Vec<KeyText> = source.secrets.iter().map(|secret| secret.text.clone()).collect();
        let keys = provider.keys(&texts).map_err(impossible)?;
        let at = match wish.bad {
            Some(bad) => bad::possible(bad, source, &provider, now).map_err(CannotTry::Impossible)?,
            None => now,
        };
        let content = match &wish.content {
            Some(content) => content.clone(),
            None => sample(source, &provider, wish.event.as_deref(), at),
        };
        let content = Content {
            event: wish.event.clone().or(content.event),
            ..content
        };
        let letter = Letter::write(source, &provider, &keys, content, at).map_err(CannotTry::Impossible)?;
        let judged = letter.judged(&provider, &keys);
        let doubt = judged.as_ref().err().map(ToString::to_string);
        let fine = match judged {
            Ok(None) => Outcome::Challenge,
            Ok(Some(events)) if !wanted(source, &events) => Outcome::Filtered,
            Ok(Some(_)) | Err(_) => Outcome::Delivered,
        };
        let (letter, expected) = match wish.bad {
            None => (letter, vec![fine]),
            Some(Bad::Signature) => (letter.missigned(source), vec![Outcome::Unverified]),
            Some(Bad::Body) => (letter.tampered(), vec![Outcome::Unverified]),
            Some(Bad::Timestamp) => (letter, vec![Outcome::Stale]),
            Some(Bad::Replay) => (letter, vec![Outcome::Duplicate, Outcome::Replayed]),
        };
        Ok(Self {
            settings,
            source,
            letter,
            // What is wrong on purpose is no doubt.
            doubt: doubt.filter(|_| wish.bad != Some(Bad::Timestamp)),
            wish,
            expected,
        })
    }

    /// Where the configuration says that the sidecar listens.
    pub fn own_address(&self, listening: SocketAddr) -> Address {
        Address::own(self.settings, self.source, listening)
    }

    /// An address of somebody's choice.
    pub fn address(&self, url: &str) -> Result<Address, String> {
        Address::parse(self.settings, self.source, url)
    }

    /// Sends it, and says what became of it; the log lines ([`Try::line`]) are for the caller to find.
    pub async fn send(self, to: &Address, clock: Arc<dyn Clock>) -> Result<Sent, PostError> {
        let mut tries = Vec::new();
        let times = if self.wish.bad == Some(Bad::Replay) { 2 } else { 1 };
        for _ in 0..times {
            let trace = entropy(crate::telemetry::TraceParent::mint);
            let told = post::post(to, &self.letter, &trace, &clock).await?;
            tries.push(Try::new(told, trace.trace_id()));
            // What was not taken the first time is no replay the second time.
            if !tries[0].is(Outcome::Delivered) {
                break;
            }
        }
        Ok(Sent {
            source: self.source.name.to_string(),
            event: self.letter.event().map(str::to_owned),
            known_sample: self.letter.is_known_sample(),
            bad: self.wish.bad,
            url: to.shown(&self.letter),
            bytes: self.letter.body().len(),
            as_expected: tries.len() == times
                && tries
                    .last()
                    .is_some_and(|last| self.expected.iter().any(|outcome| last.is(*outcome))),
            expected: self.expected,
            doubt: self.doubt,
            tries,
        })
    }
}

impl Core {
    /// Tries a source of this very sidecar, on its own port and path and nowhere else.
    pub(super) async fn try_source(&self, source: &SourceSettings, wish: Wish) -> Result<Sent, TrialError> {
        let settings = self.settings.load_full();
        let clock = &self.shared.observers.clock;
        let trial = Trial::prepare(&settings, source, wish, clock.wall())?;
        let to = trial.own_address(self.webhooks);
        let mut sent = trial.send(&to, clock.clone()).await?;
        for one in &mut sent.tries {
            // It was kept before the answer left.
            one.line = verdict::line_of(&self.shared.observers.recent, &one.trace_id);
        }
        Ok(sent)
    }
}

/// Why a trial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// Nothing was sent.
    #[error(transparent)]
    Cannot(#[from] CannotTry),
    /// There was no answer.
    #[error(transparent)]
    Post(#[from] PostError),
}

/// A sample that the source selects: of the named event, else its preset's first one that is selected, else one made up
/// under a name that is.
fn sample(source: &SourceSettings, provider: &Provider, event: Option<&str>, at: Timestamp) -> Content {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&entropy(crate::telemetry::Entropy::bytes::<16>));
    let fresh = Fresh { at, nonce };
    if event.is_some() {
        return Content::of_sample(provider.sample(event, fresh));
    }
    let selected = |event: &&str| {
        source.events.is_empty()
            || source
                .events
                .iter()
                .any(|glob| glob.matches(event) || event.split_once('.').is_some_and(|(kind, _)| glob.matches(kind)))
    };
    let own = provider.sample_events().find(selected);
    let named = source
        .events
        .first()
        .map(|glob| glob.as_str().replace('*', crate::provider::SAMPLE_EVENT));
    Content::of_sample(provider.sample(own.or(named.as_deref()), fresh))
}

/// Is the event for anybody?
fn wanted(source: &SourceSettings, events: &[crate::event::EventName]) -> bool {
    selects(&source.events, events) && source.to.iter().any(|route| selects(&route.events, events))
}

/// A path that leads to the source.
fn target(source: &SourceSettings) -> String {
    match source.paths.first() {
        Some(PathRule::Exact(path)) => path.clone(),
        Some(PathRule::Below(prefix)) => format!("{prefix}sample"),
        None => "/".to_owned(),
    }
}

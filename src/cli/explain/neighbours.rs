//! Other sources of the same configuration whose secret, or whose whole scheme, a refused request fits.

use super::capture::Capture;
use crate::{
    cli::subject::Subject,
    config::Settings,
    event::{Envelope, Timestamp},
    provider::{Keys, Provider, Refusal},
};

/// More sources than this are not tried: each costs verifications of the whole body.
const MOST: usize = 64;

/// Sentences about the sources that this request would fit, if it does not fit its own.
pub(super) fn fitting(settings: &Settings, subject: &Subject<'_>, capture: &Capture, at: Timestamp) -> Vec<String> {
    let mut said = Vec::new();
    let own = &subject.settings.name;
    let others = settings.sources.iter().filter(|source| source.name != *own);
    for source in others.take(MOST) {
        let name = source.name.as_str();
        let Ok(other) = Subject::of(settings, name) else {
            continue;
        };
        if !other.provider.facts().takes_secrets {
            continue;
        }
        if let Ok(keys) = subject.provider.keys(&other.texts)
            && proves(&subject.provider, &keys, capture, at)
        {
            said.push(format!(
                "it matches a secret of source `{name}`: the secrets are mixed up, or it was sent to the wrong path"
            ));
        } else if proves(&other.provider, &other.keys, capture, at) {
            said.push(format!(
                "it is a right request of source `{name}`: it was sent to the wrong path"
            ));
        }
    }
    said
}

fn proves(provider: &Provider, keys: &Keys, capture: &Capture, at: Timestamp) -> bool {
    let envelope = Envelope {
        head: &capture.head,
        body: &capture.body,
    };
    keys.count() > 0
        && matches!(
            provider.verify(envelope, keys, at),
            Ok(_) | Err(Refusal::Stale { .. } | Refusal::Malformed(_))
        )
}

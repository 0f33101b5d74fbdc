//! Keys that a provider publishes, for sources that pin none: fetched when a request wants them, and no sooner.

use super::{Shared, Worker, admit, assemble::Assembled};
use crate::{
    event::{Envelope, SourceName},
    provider::{Cause, Keys, Refusal, WantedKey},
    source::{Ending, Fetched, Missing, Outcome, Source, Trail, Wish},
    upstream::FetchError,
};
use std::sync::Arc;

/// When a sender should come again whose key cannot be had now, seconds.
pub(super) const COME_AGAIN: u64 = 30;

/// Keys that were fetched.
pub(super) struct Published {
    pub keys: Arc<Keys>,
    from: String,
    /// The request named it.
    named: bool,
    of: Arc<Fetched<Keys>>,
}

impl Published {
    /// A request of this source proved to be signed with them.
    pub(super) fn proved(&self, shared: &Shared, source: &SourceName) {
        if self.of.proved(&self.from) && self.named {
            shared.proven.learn(source, &self.from);
        }
    }
}

/// The keys that a request wants; `None`: those of the source, as of nearly every one.
pub(super) async fn published(
    worker: &Worker,
    assembled: &Assembled,
    trail: &Trail,
) -> Result<Option<Published>, Ending> {
    match &assembled.source.published {
        // Boxed: it is rare and large, and the future of every request would be as large.
        Some(of) if !assembled.verifier.is_handshake() => Box::pin(fetch(worker, assembled, of, trail)).await,
        _ => Ok(None),
    }
}

async fn fetch(
    worker: &Worker,
    assembled: &Assembled,
    of: &Arc<Fetched<Keys>>,
    trail: &Trail,
) -> Result<Option<Published>, Ending> {
    let (shared, source, client) = (&worker.shared, &assembled.source, &assembled.client);
    let envelope = Envelope {
        head: &assembled.head,
        body: &assembled.body,
    };
    let refused = |refusal: &Refusal| admit::unverified(shared, source, client, trail, refusal);
    let wanted = source
        .provider
        .wanted_key(envelope)
        .map_err(|refusal| refused(&refusal))?;
    let Some(WantedKey { url, kid, named }) = wanted else {
        return Ok(None);
    };
    let within = |keys: &Keys| kid.as_deref().is_none_or(|kid| keys.knows(kid));
    let spend = || !named || shared.fetches.spend(client, &source.name, trail.arrived).is_ok();
    let known = || named && shared.proven.knows(&source.name, &url);
    let wish = Wish {
        url: &url,
        within: &within,
        known: &known,
        spend: &spend,
    };
    match of.take(wish, &worker.deliveries, || read(worker, source, &url)).await {
        Ok(keys) => Ok(Some(Published {
            keys,
            from: url,
            named,
            of: of.clone(),
        })),
        Err(missing) => {
            if named && matches!(missing, Missing::Absent(_) | Missing::Unusable(_)) {
                shared.fetches.failed(client, &source.name, trail.arrived);
            }
            match missing {
                Missing::Absent(_) if named => Err(refused(&Refusal::Unverified(Cause::KeyAbsent))),
                missing => Err(unavailable(&missing)),
            }
        }
    }
}

/// One fetch, which outlives the request that began it.
fn read(worker: &Worker, source: &Arc<Source>, url: &str) -> impl Future<Output = Result<Arc<Keys>, Missing>> + use<> {
    let (fetcher, source, url) = (worker.shared.fetcher.clone(), source.clone(), url.to_owned());
    async move {
        let document = fetcher.fetch(&url).await.map_err(missing)?;
        let keys = source.provider.published_keys(&document);
        keys.map(Arc::new)
            .map_err(|reason| Missing::Unusable(format!("what the provider publishes is not a key: {reason}")))
    }
}

pub(super) fn missing(error: FetchError) -> Missing {
    match error {
        FetchError::Absent(_) => Missing::Absent(error.to_string()),
        FetchError::Unusable(reason) => Missing::Unusable(reason),
        FetchError::Failed(reason) => Missing::Failed(reason),
    }
}

/// Nothing is known against the sender, and nothing for it: it is not forwarded, and should come again.
pub(super) fn unavailable(missing: &Missing) -> Ending {
    Ending::new(
        Outcome::Overloaded,
        format!("the provider's key cannot be had: {missing}"),
    )
    .with_retry_after(COME_AGAIN)
}

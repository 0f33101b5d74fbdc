//! A subscription that its provider wants confirmed by a visit: made for a verified request only, to a host of the preset,
//! and not again for a repetition.

use super::{Worker, authenticate::Unconfirmed, keys};
use crate::{
    provider::Confirmation,
    source::{Ending, Missing, Outcome, Trail, Wish},
};
use std::sync::Arc;

/// Visits; its answer is ours once the visit was answered 200.
pub(super) async fn confirm(worker: &Worker, unconfirmed: Unconfirmed, trail: &Trail) -> Ending {
    let Unconfirmed { source, asked } = unconfirmed;
    let Confirmation { answer, url } = asked;
    let Some(confirmed) = &source.confirmed else {
        return Ending::challenge(answer);
    };
    let shared = &worker.shared;
    let wish = Wish {
        url: &url,
        within: &|()| true,
        known: &|| false,
        spend: &|| shared.fetches.spend_proven(&source.name, trail.arrived).is_ok(),
    };
    let visit = || {
        let (fetcher, url) = (shared.fetcher.clone(), url.clone());
        async move { fetcher.fetch(&url).await.map(|_| Arc::new(())).map_err(keys::missing) }
    };
    let visited: Result<_, Missing> = confirmed.take(wish, &worker.deliveries, visit).await;
    match visited {
        Ok(_) => {
            let mut ending = Ending::challenge(answer);
            ending.reason = "the subscription is confirmed".into();
            ending
        }
        Err(missing) => Ending::new(
            Outcome::Overloaded,
            format!("the subscription cannot be confirmed: {missing}"),
        )
        .with_retry_after(keys::COME_AGAIN),
    }
}

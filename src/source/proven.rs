//! Where keys stand that verified a request before: URLs only, by source, so that a restarted sidecar fetches them first.
//!
//! A URL here is a hint and proves nothing. It counts only when a request names it and the preset allows its host and
//! path; the key is then fetched over TLS and judged as every other one. Somebody who can write the stored hints gains at
//! most that the sidecar asks the provider's own server for a few more certificates.

use crate::event::SourceName;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// URLs that are kept of one source. A provider publishes a new certificate about once a year.
pub const MAX_URLS_OF_A_SOURCE: usize = 8;
/// The longest URL that is kept, bytes: longer than any of a provider that we know.
pub const MAX_URL_BYTES: usize = 2048;
/// Sources whose URLs are kept, more than a configuration has.
const MAX_SOURCES: usize = 4096;

/// URLs by source, the one that verified last first.
pub type UrlsBySource = BTreeMap<SourceName, Vec<String>>;

/// The URLs that this process knows.
#[derive(Default)]
pub struct ProvenUrls {
    all: Mutex<UrlsBySource>,
    learned: Notify,
}

impl ProvenUrls {
    /// The key at this URL verified a request of this source, for the first time in this process.
    pub fn learn(&self, source: &SourceName, url: &str) {
        let mut all = self.all();
        if fits(&all, source, url) {
            let urls = all.entry(source.clone()).or_default();
            urls.retain(|known| known != url);
            urls.insert(0, url.to_owned());
            urls.truncate(MAX_URLS_OF_A_SOURCE);
            drop(all);
            self.learned.notify_one();
        }
    }

    /// Adds URLs that an earlier process or another replica learned, behind those that this process learned.
    pub fn remember(&self, source: &SourceName, urls: impl IntoIterator<Item = String>) {
        let mut all = self.all();
        for url in urls.into_iter().take(MAX_URLS_OF_A_SOURCE) {
            if fits(&all, source, &url) {
                let known = all.entry(source.clone()).or_default();
                if known.len() < MAX_URLS_OF_A_SOURCE && !known.contains(&url) {
                    known.push(url);
                }
            }
        }
    }

    /// Did the key at this URL verify before?
    pub fn knows(&self, source: &SourceName, url: &str) -> bool {
        let all = self.all();
        all.get(source)
            .is_some_and(|urls| urls.iter().any(|known| known == url))
    }

    /// All of them, for whoever keeps them.
    pub fn all_urls(&self) -> UrlsBySource {
        self.all().clone()
    }

    /// Returns when something was learned since the last call.
    pub async fn learned(&self) {
        self.learned.notified().await;
    }

    fn all(&self) -> MutexGuard<'_, UrlsBySource> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(all: &UrlsBySource, source: &SourceName, url: &str) -> bool {
    let has_room = all.len() < MAX_SOURCES || all.contains_key(source);
    has_room && !url.is_empty() && url.len() <= MAX_URL_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn sns() -> SourceName {
        SourceName::parse("sns").expect("a name")
    }

    #[test]
    fn what_verified_last_stays_and_what_is_read_comes_behind_it() {
        let proven = ProvenUrls::default();
        proven.learn(&sns(), "https://a/1");
        proven.remember(&sns(), ["https://a/1", "https://a/2", ""].map(str::to_owned));
        proven.learn(&sns(), "https://a/2");
        assert_eq!(proven.all_urls()[&sns()], ["https://a/2", "https://a/1"]);
        proven.remember(&sns(), (3..100).map(|n| format!("https://a/{n}")));
        assert_eq!(proven.all_urls()[&sns()].len(), MAX_URLS_OF_A_SOURCE);
        proven.learn(&sns(), "https://a/99");
        let urls = &proven.all_urls()[&sns()];
        assert_eq!((urls.len(), &*urls[0]), (MAX_URLS_OF_A_SOURCE, "https://a/99"));
        assert!(proven.knows(&sns(), "https://a/99") && !proven.knows(&sns(), "https://a/98"));
        let other = SourceName::parse("other").expect("a name");
        assert!(!proven.knows(&other, "https://a/99"));
        proven.learn(&sns(), &"x".repeat(MAX_URL_BYTES + 1));
        assert_eq!(proven.all_urls()[&sns()][0], "https://a/99");
    }

    #[test]
    fn whoever_keeps_them_hears_of_what_was_learned_and_not_of_what_was_read() {
        let proven = ProvenUrls::default();
        proven.remember(&sns(), ["https://a/1".to_owned()]);
        assert!(proven.learned().now_or_never().is_none());
        proven.learn(&sns(), "https://a/1");
        assert!(proven.learned().now_or_never().is_some());
        assert!(proven.learned().now_or_never().is_none());
    }
}

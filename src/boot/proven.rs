//! Keeps the URLs of provider keys that verified over a restart: in Redis where there is one, else in a file of `state_dir`.
//!
//! Such a URL is a hint (see [`crate::source::proven`]). So the sidecar ignores a damaged file with a warning, and asks a
//! Redis that does not answer again later.

mod file;

use super::Core;
use crate::{
    event::SourceName,
    source::proven::MAX_URLS_OF_A_SOURCE,
    store::{Arg, Failure, Repeat, Script, Store, Value},
    telemetry::Level,
};
use std::{path::Path, sync::LazyLock, time::Duration};
use tokio::time::timeout;

static PROVEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("proven.lua")));

/// A certificate is valid for about a year; a URL that verified nothing for longer is forgotten.
const KEEP: Duration = Duration::from_hours(24 * 400);
/// Redis is read again after this time: another replica may have learned something.
const READ_INTERVAL: Duration = Duration::from_mins(10);
/// While Redis or the disk does not take them, they are offered again after this time.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Reads what an earlier process kept in a file. Before the first request, so that no forger comes first.
pub(super) fn read_file(core: &Core) {
    let settings = core.settings.load();
    let Some(folder) = settings.state_dir.as_deref().filter(|_| settings.redis.is_none()) else {
        return;
    };
    match file::read(folder) {
        Ok(urls) => {
            for (source, urls) in urls {
                core.shared.proven.remember(&source, urls);
            }
        }
        Err(error) => core.log(Level::Warn, "proven-keys.json in `state_dir` is ignored", &error),
    }
}

/// Reads what is in Redis, and keeps what is learned, until it is dropped.
pub(super) async fn tend(core: &Core) {
    let settings = core.settings.load_full();
    match (core.replays.store(), settings.state_dir.as_deref()) {
        (Some(store), _) => tend_redis(core, &store.with_own_connection()).await,
        (None, Some(folder)) => tend_file(core, folder).await,
        (None, None) => std::future::pending().await,
    }
}

async fn tend_file(core: &Core, folder: &Path) {
    let mut failed = false;
    loop {
        if failed {
            tokio::time::sleep(RETRY_INTERVAL).await;
        } else {
            core.shared.proven.learned().await;
        }
        let result = file::write(folder, &core.shared.proven.all_urls());
        if let (Err(error), false) = (&result, failed) {
            core.log(Level::Warn, "`state_dir` cannot be written to", error);
        }
        failed = result.is_err();
    }
}

async fn tend_redis(core: &Core, store: &Store) {
    loop {
        while let Err(failure) = read_redis(core, store).await {
            core.log(Level::Debug, "the URLs of provider keys cannot be read", &failure);
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        // A timeout: other replicas, and sources that a reload added.
        while timeout(READ_INTERVAL, core.shared.proven.learned()).await.is_ok() {
            for (source, urls) in core.shared.proven.all_urls() {
                while let Err(failure) = exchange(core, store, &source, &urls).await {
                    core.log(Level::Debug, "the URLs of provider keys cannot be kept", &failure);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }
}

async fn read_redis(core: &Core, store: &Store) -> Result<(), Failure> {
    let live = core.shared.live.load_full();
    let before = core.shared.proven.all_urls();
    for source in live.sources.iter().filter(|source| source.published.is_some()) {
        let urls = exchange(core, store, &source.name, &[]).await?;
        core.shared.proven.remember(&source.name, urls);
    }
    if core.shared.proven.all_urls() != before {
        let text = "key URLs that verified before were read from Redis";
        core.shared.observers.log.message(Level::Info, text, &[]);
    }
    Ok(())
}

/// Adds URLs of a source, and gives all that Redis has.
async fn exchange(core: &Core, store: &Store, source: &SourceName, urls: &[String]) -> Result<Vec<String>, Failure> {
    let key = format!("hw:keys:{{{}/{source}}}", core.shared.live.load().namespace);
    let most = u64::try_from(MAX_URLS_OF_A_SOURCE).expect("a few");
    let keep = u64::try_from(KEEP.as_millis()).expect("about a year");
    let mut args = vec![Arg::Number(most), Arg::Number(keep)];
    args.extend(urls.iter().rev().map(|url| Arg::Bytes(url.as_bytes())));
    let answer = store.run(&PROVEN, key.as_bytes(), &args, Repeat::Once).await?;
    let Value::Array(list) = answer else {
        return Ok(Vec::new());
    };
    let texts = list.into_iter().filter_map(|one| match one {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    });
    Ok(texts.collect())
}

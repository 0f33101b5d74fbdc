//! Watches the files that the configuration was read from: itself, secrets, certificates; says when their contents changed.
//!
//! Folders are watched and not files: an editor and `mv` put another file in a file's place, and Kubernetes swaps the
//! `..data` link beside it. Any event there is a reason to look, and only contents that differ are a change. Where events
//! do not come (a network file system, a limit of inotify) everything is looked at every 30 s.

use super::Core;
use crate::{
    config::{Environment, Machine},
    telemetry::Level,
};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// Nothing may happen for so long before the files are looked at: whoever writes a file in pieces has finished.
const QUIET: Duration = Duration::from_millis(200);
/// A folder where something always happens is looked at all the same, after so many events that came within `QUIET`.
const RESTLESS: u32 = 25;
/// Without any event.
const POLL: Duration = Duration::from_secs(30);
/// More than any file of a configuration may have.
const MAX_BYTES: u64 = 8 << 20;

/// The files of the configuration in force.
pub(super) struct Watch<'a> {
    core: &'a Core,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    stirred: Arc<Notify>,
    /// Something happened that has not been looked at yet.
    dirty: bool,
    /// What was in the files when they were looked at last; `None`: nobody has looked yet.
    seen: Option<blake3::Hash>,
}

impl<'a> Watch<'a> {
    /// Watches from the first call of [`Self::changed`] on.
    pub(super) fn new(core: &'a Core) -> Self {
        let stirred = Arc::new(Notify::new());
        let waking = Arc::clone(&stirred);
        let on_event = move |event: notify::Result<notify::Event>| {
            // Whoever only reads changes nothing, and we read too. An error means that events were lost.
            let only_read = event.is_ok_and(|event| match event.kind {
                EventKind::Access(AccessKind::Close(mode)) => mode != notify::event::AccessMode::Write,
                EventKind::Access(_) => true,
                _ => false,
            });
            if !only_read {
                waking.notify_one();
            }
        };
        let watcher = RecommendedWatcher::new(on_event, Config::default());
        if let Err(error) = &watcher {
            let text = "files are not watched, only looked at every 30 s";
            core.log(Level::Warn, text, error);
        }
        Self {
            core,
            watcher: watcher.ok(),
            folders: BTreeSet::new(),
            stirred,
            // Between the reading of the files and the first watch nobody looked.
            dirty: true,
            seen: None,
        }
    }

    /// Returns when the contents of the files may have changed: at the latest [`POLL`] after they did, and once soon after
    /// the start. What is lost when
    /// this is dropped is only the wait.
    pub(super) async fn changed(&mut self) {
        self.follow();
        loop {
            if !self.dirty {
                tokio::select! {
                    () = self.stirred.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
                self.dirty = true;
            }
            for _ in 0..RESTLESS {
                if tokio::time::timeout(QUIET, self.stirred.notified()).await.is_err() {
                    break;
                }
            }
            self.dirty = false;
            // First the folders, which may be others under the same names: what changes there from now on is heard of.
            self.follow();
            if self.look() {
                return;
            }
        }
    }

    /// Notes what is in the files now; true if it is not what was there the last time.
    pub(super) fn look(&mut self) -> bool {
        let now = Some(contents(&self.core.settings.load().files));
        std::mem::replace(&mut self.seen, now) != now
    }

    /// Watches the folders of the files. Each is asked for again: one that was removed and made anew is another one.
    fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders = folders(&self.core.settings.load().files);
        for gone in self.folders.difference(&folders) {
            let _not_watched = watcher.unwatch(gone);
        }
        // One that went away this very moment is found by the next look.
        self.folders = folders
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

/// Where each file stands, by its name and by where its links lead.
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for file in files {
        let real = fs::canonicalize(file).ok();
        for path in [Some(file), real.as_ref()].into_iter().flatten() {
            // Where a folder is away, the one in which it will come back.
            let there = path.ancestors().skip(1).find(|folder| folder.is_dir());
            folders.insert(there.unwrap_or(Path::new(".")).to_path_buf());
        }
    }
    folders
}

/// A digest of what is in the files; of secrets nothing else is kept.
fn contents(files: &[PathBuf]) -> blake3::Hash {
    let mut all = blake3::Hasher::new();
    for file in files {
        // A pipe gives what it holds to one reader only, and that is not this one.
        let plain = fs::metadata(file).is_ok_and(|metadata| metadata.is_file());
        let read = if plain {
            Machine.read(file, MAX_BYTES).ok()
        } else {
            None
        };
        match read {
            Some(bytes) => all.update(&[1]).update(blake3::hash(&bytes).as_bytes()),
            None => all.update(&[0]),
        };
    }
    all.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_folders_of_a_link_are_watched() {
        let root = std::env::temp_dir().join(format!("hookward-watch-{}", std::process::id()));
        fs::create_dir_all(root.join("real")).expect("a folder");
        fs::create_dir_all(root.join("named")).expect("a folder");
        fs::write(root.join("real/file"), "x").expect("a file");
        std::os::unix::fs::symlink("../real/file", root.join("named/file")).expect("a link");
        let named = root.join("named/file");
        let found = folders(&[named.clone(), PathBuf::from("hookward.yaml")]);
        let real = fs::canonicalize(root.join("real")).expect("a folder");
        for expected in [root.join("named"), real, PathBuf::from(".")] {
            assert!(found.contains(&expected), "{expected:?} among {found:?}");
        }
        let before = contents(std::slice::from_ref(&named));
        fs::write(root.join("real/file"), "y").expect("a file");
        let after = contents(std::slice::from_ref(&named));
        assert_ne!(before, after);
        fs::remove_file(root.join("real/file")).expect("a file");
        assert_ne!(contents(&[named]), after, "a file that is away is another content");
        fs::remove_dir_all(root).expect("ours");
    }
}

//! SIGTERM and SIGINT drain; SIGHUP and a changed file read the configuration anew; a bad one leaves the running one in
//! force.

use super::{
    Core, Front, live,
    operate::{ReloadReport, Unfit},
    watch::Watch,
};
use crate::{
    config::{
        Settings,
        settings::{Redis, SourceSettings},
    },
    event::SourceName,
    telemetry::Level,
};
use std::{sync::Arc, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after a failed reload it is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Obeys signals and watches files for as long as it is polled.
pub(super) async fn tend(core: &Core, obey_signals: bool) {
    let mut hangup = None;
    let draining = async {
        if !obey_signals {
            return std::future::pending().await;
        }
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            let why = &"the handlers cannot be installed";
            core.log(Level::Error, "signals are not obeyed", why);
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                () = received(&mut terminate) => begin_drain(core, "SIGTERM"),
                () = received(&mut interrupt) => begin_drain(core, "SIGINT"),
            }
        }
    };
    if obey_signals {
        hangup = signal(SignalKind::hangup()).ok();
    }
    let reloading = async {
        if core.reload.is_none() {
            return std::future::pending().await;
        }
        let mut wishes = Wishes {
            core,
            hangup,
            watch: Watch::new(core),
        };
        let mut reloader = Reloader::new(core);
        let wanting = !waiting(&core.settings.load()).is_empty();
        until_it_succeeds(&mut wishes, RETRY, wanting, |wish| {
            reloader.reload(wish) == Reloaded::Whole
        })
        .await;
    };
    tokio::join!(draining, reloading);
}

/// Why the configuration is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Somebody said so.
    Asked,
    /// A file is not what it was.
    Changed,
    /// The last time it failed, or a secret was away.
    Again,
}

/// Tries when wished for, and after a failure again and again: a secret that was away comes back without a signal.
/// `wanting`: something is missing from the beginning.
async fn until_it_succeeds(
    wishes: &mut impl Wishing,
    pause: Duration,
    mut wanting: bool,
    mut attempt: impl FnMut(Wish) -> bool,
) {
    loop {
        let again = async {
            if wanting {
                tokio::time::sleep(pause).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let wish = tokio::select! {
            wish = wishes.next() => wish,
            () = again => Wish::Again,
        };
        wanting = !attempt(wish);
    }
}

/// Where the wish for a reload comes from.
trait Wishing {
    async fn next(&mut self) -> Wish;
}

/// SIGHUP, the admin listener and the files themselves.
struct Wishes<'a> {
    core: &'a Core,
    hangup: Option<Signal>,
    watch: Watch<'a>,
}

impl Wishing for Wishes<'_> {
    async fn next(&mut self) -> Wish {
        let asked = async {
            match &mut self.hangup {
                Some(hangup) => received(hangup).await,
                None => std::future::pending().await,
            }
        };
        let wish = tokio::select! {
            () = asked => Wish::Asked,
            () = self.core.reload_asked.notified() => Wish::Asked,
            () = self.watch.changed() => Wish::Changed,
        };
        if wish == Wish::Asked {
            // What is read now is no news when the watch hears of it.
            self.watch.look();
        }
        wish
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn begin_drain(core: &Core, signal: &str) {
    let log = &core.shared.observers.log;
    log.message(Level::Info, "draining", &[("signal", &signal)]);
    core.drain();
}

/// What a reload came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloaded {
    /// All of it is in force.
    Whole,
    /// In force, but a source still waits for a secret (`on_missing_secret: unavailable`).
    Waiting,
    /// The old configuration stays, or secrets of the old one.
    Failed,
}

/// The sources that wait for a secret, each with what it lacks.
fn waiting(settings: &Settings) -> Vec<(SourceName, Vec<String>)> {
    let lacks = |source: &SourceSettings| {
        let lacks: Vec<String> = source.unavailable.iter().chain(&source.missing).cloned().collect();
        (!lacks.is_empty()).then(|| (source.name.clone(), lacks))
    };
    settings.sources.iter().filter_map(lacks).collect()
}

/// The secrets that could not be read at this reload, so that the old ones stay; `None`: all could.
fn kept(settings: &Settings) -> Option<String> {
    let kept = settings.sources.iter().flat_map(|source| {
        let kept = source.kept.iter();
        kept.map(move |reason| format!("source `{}`: {reason}", source.name))
    });
    let kept = kept.collect::<Vec<_>>().join("; ");
    (!kept.is_empty()).then_some(kept)
}

/// Reads the configuration anew, and knows what it read before.
struct Reloader<'a> {
    core: &'a Core,
    /// The settings as they were read last; what only a restart can change is in them, unlike in those in force.
    read: Arc<Settings>,
    failed: bool,
}

impl<'a> Reloader<'a> {
    fn new(core: &'a Core) -> Self {
        Self {
            core,
            read: core.settings.load_full(),
            failed: false,
        }
    }

    fn reload(&mut self, wish: Wish) -> Reloaded {
        let reloaded = self.read(wish);
        self.failed = reloaded == Reloaded::Failed;
        reloaded
    }

    fn read(&mut self, wish: Wish) -> Reloaded {
        let Some(read) = &self.core.reload else {
            return Reloaded::Whole;
        };
        let read = read(&self.core.settings.load());
        let still = read.as_ref().map(waiting).unwrap_or_default();
        let idle = match (wish, &read) {
            (_, _) if self.failed => false,
            (Wish::Asked, _) | (Wish::Changed, Err(_)) => false,
            (Wish::Changed, Ok(settings)) => *settings == *self.read,
            (Wish::Again, _) => read.is_err() || still == waiting(&self.core.settings.load()),
        };
        if idle {
            return whole_or(&still);
        }
        let shared = &self.core.shared;
        let old_secrets = read.as_ref().ok().and_then(kept);
        let swapped = read.and_then(|settings| {
            self.read = Arc::new(settings.clone());
            swap(self.core, settings)
        });
        let result = match (&swapped, &old_secrets) {
            (Ok(needs), None) => Ok(needs.clone()),
            (Ok(_), Some(kept)) => Err(Unfit::Secrets(kept.clone())),
            (Err(error), _) => Err(Unfit::Configuration(error.clone())),
        };
        self.core.reloads.send_replace(Some(ReloadReport {
            at: shared.observers.clock.wall(),
            result: result.clone(),
        }));
        if let Ok(needs) = &swapped
            && !needs.is_empty()
        {
            let needs = needs.join(", ");
            let text = "changed, but in force only after a restart";
            shared.observers.log.message(Level::Warn, text, &[("keys", &needs)]);
        }
        match result {
            Ok(_) => {
                shared.metrics.reload_succeeded(shared.observers.clock.wall());
                shared.observers.log.message(Level::Info, "configuration reloaded", &[]);
                whole_or(&still)
            }
            Err(unfit) => {
                shared.metrics.reload_failed();
                let (text, error) = match &unfit {
                    Unfit::Secrets(kept) => ("reload failed in part; old secrets stay in force", kept),
                    Unfit::Configuration(error) => ("reload failed; the old configuration stays in force", error),
                };
                self.core.log(Level::Error, text, error);
                Reloaded::Failed
            }
        }
    }
}

fn whole_or(waiting: &[(SourceName, Vec<String>)]) -> Reloaded {
    if waiting.is_empty() {
        Reloaded::Whole
    } else {
        Reloaded::Waiting
    }
}

/// Puts new settings in force; gives the keys that only a restart can change. These stay as they are, all of them and
/// in every respect: half of a new ledger would be none.
fn swap(core: &Core, mut settings: Settings) -> Result<Vec<&'static str>, String> {
    let shared = &core.shared;
    let old = core.settings.load();
    let fixed = [
        ("listen", keep(&old.listen.address, &mut settings.listen.address)),
        ("health", keep(&old.health, &mut settings.health)),
        ("admin", keep(&old.admin, &mut settings.admin)),
        ("redis", keep_redis(old.redis.as_ref(), &mut settings.redis)),
        ("limits", keep(&old.limits, &mut settings.limits)),
        ("state_dir", keep(&old.state_dir, &mut settings.state_dir)),
    ];
    let previous = shared.live.load();
    let live = live::live(&shared.observers.clock, &settings, &shared.metrics, Some(&previous))?;
    let front = Front::new(&settings, Some(&core.front.load()))?;
    if let (Some(redis), Some(store)) = (&settings.redis, core.replays.store())
        && old.redis.as_ref().is_some_and(|old| old.access != redis.access)
    {
        store.replace_access(&redis.access).map_err(|error| error.to_string())?;
    }
    let kept = fixed.iter().filter(|(_, changed)| *changed);
    core.front.store(Arc::new(front));
    shared.live.store(Arc::new(live));
    core.settings.store(Arc::new(settings));
    Ok(kept.map(|(key, _)| *key).collect())
}

/// As [`keep`], but a new login or certificate for the same servers is taken.
fn keep_redis(old: Option<&Redis>, new: &mut Option<Redis>) -> bool {
    let changed = match (old, &*new) {
        (Some(was), Some(is)) => {
            let before = Redis {
                access: is.access.clone(),
                ..was.clone()
            };
            // Speaking TLS or not is another port, and nearly always another server.
            before != *is || was.access.tls.is_some() != is.access.tls.is_some()
        }
        (None, None) => false,
        _ => true,
    };
    if changed {
        *new = old.cloned();
    }
    changed
}

/// Undoes a change; tells whether there was one.
fn keep<T: Clone + PartialEq>(old: &T, new: &mut T) -> bool {
    let changed = old != new;
    if changed {
        new.clone_from(old);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::{Wish, Wishing, until_it_succeeds};
    use crate::event::{Clock, Monotonic, SystemClock};
    use std::time::Duration;
    use tokio::sync::mpsc;

    /// One wish, at once.
    struct Once(bool);

    impl Wishing for Once {
        async fn next(&mut self) -> Wish {
            if std::mem::replace(&mut self.0, true) {
                std::future::pending::<()>().await;
            }
            Wish::Asked
        }
    }

    #[tokio::test]
    async fn a_failed_reload_is_tried_again_until_it_succeeds() {
        let pause = Duration::from_millis(20);
        let clock = SystemClock::new();
        let (sender, mut tries) = mpsc::unbounded_channel();
        let mut made = 0;
        let attempt = |_| {
            made += 1;
            sender.send(clock.monotonic()).expect("the test listens");
            made == 3
        };
        let mut asked = Once(false);
        let mut seen: Vec<Monotonic> = Vec::new();
        tokio::select! {
            () = until_it_succeeds(&mut asked, pause, false, attempt) => {}
            () = async {
                while seen.len() < 3 {
                    seen.push(tries.recv().await.expect("a try"));
                }
                // Nothing more comes of a success.
                assert!(tokio::time::timeout(pause * 3, tries.recv()).await.is_err());
            } => {}
        }
        let gaps: Vec<Duration> = seen.windows(2).map(|two| two[1].since(two[0])).collect();
        assert!(gaps.iter().all(|gap| *gap >= pause), "{gaps:?}");
    }

    #[tokio::test]
    async fn what_is_missing_from_the_beginning_is_looked_for_unasked() {
        let (sender, mut tries) = mpsc::unbounded_channel();
        let attempt = |wish| {
            sender.send(wish).expect("the test listens");
            false
        };
        let mut never = Once(true);
        tokio::select! {
            () = until_it_succeeds(&mut never, Duration::from_millis(1), true, attempt) => {}
            wish = tries.recv() => assert_eq!(wish, Some(Wish::Again)),
        }
    }
}

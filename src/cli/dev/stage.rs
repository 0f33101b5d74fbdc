//! Raises the sidecar of the trial: on the usual ports if they are free, on others if not.

use super::{
    apps::Apps,
    configuration::{PORTS, SOURCES, Secrets, Senders, loopback, yaml},
    feed::Sink,
};
use crate::{
    boot::{Addresses, Options, Sidecar, StartError},
    config::{self, Environment, Fixed, Machine, Settings},
    event::{Clock, SystemClock},
    telemetry::{Format, Level, Log, Metrics},
    upstream::Fetcher,
};
use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Everything that the trial happens on.
pub(super) struct Stage {
    pub sidecar: Sidecar,
    pub clock: Arc<dyn Clock>,
    pub log: Log,
    pub senders: Senders,
    /// What it would be configured with, real ports included.
    pub configuration: String,
}

impl Stage {
    /// Configures and starts the sidecar in front of `apps`; it logs to `sink`.
    pub(super) fn start(apps: &Apps, sink: Sink) -> anyhow::Result<Self> {
        let secrets = Secrets::random();
        let settings = settings(yaml(apps, &secrets, loopback(PORTS)))?;
        let senders = Senders::new(&settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let (sink, dropped) = (Box::new(sink), metrics.log_dropped.clone());
        let log = Log::start(Format::Json, Level::Info, sink, clock.clone(), dropped)?;
        let sidecar = start(settings, || Options {
            clock: clock.clone(),
            log: log.clone(),
            metrics: metrics.clone(),
            reload: None,
            fetcher: Fetcher::system(),
            signals: false,
        })?;
        let at = sidecar.addresses();
        Ok(Self {
            configuration: yaml(apps, &secrets, [at.webhooks, at.health, at.admin]),
            sidecar,
            clock,
            log,
            senders,
        })
    }

    /// What is where, for a person.
    pub(super) fn banner(&self, apps: &Apps) -> String {
        let Addresses {
            webhooks,
            health,
            admin,
        } = self.sidecar.addresses();
        let apps: Vec<String> = apps
            .addresses()
            .map(|(name, address)| format!("{name} :{}", address.port()))
            .collect();
        let lines = [
            (
                "webhooks",
                webhooks,
                PORTS[0],
                format!("/webhooks/{{{}}}", SOURCES.join(",")),
            ),
            (
                "health",
                health,
                PORTS[1],
                "/{livez,readyz,startupz,metrics}".to_owned(),
            ),
            ("admin", admin, PORTS[2], "/".to_owned()),
        ];
        let mut text = format!(
            "hookward {}: a trial. Senders, sidecar and apps run in this process, with secrets made for it.\n\n",
            env!("CARGO_PKG_VERSION")
        );
        for (what, at, usual, paths) in lines {
            let remark = if at.port() == usual {
                String::new()
            } else {
                format!("   ({usual} is taken)")
            };
            // Writing to a string cannot fail.
            let _written = writeln!(text, "  {what:<9} http://{at}{paths}{remark}");
        }
        text + &format!("  {:<9} {}\n", "apps", apps.join("  "))
    }
}

/// The configuration as `run` would read it, without a file on the disk.
fn settings(text: String) -> anyhow::Result<Settings> {
    let path = Path::new("hookward.yaml");
    let environment = Fixed {
        files: BTreeMap::from([(PathBuf::from(path), text.into_bytes())]),
        cpus: Machine.cpus(),
        ..Fixed::default()
    };
    // Its warnings are about production: inline secrets, one replica.
    match config::load(path, &environment) {
        Ok(mut loaded) => {
            // Whoever ends a trial does not want to wait for it.
            loaded.settings.limits.shutdown_grace = Duration::ZERO;
            Ok(loaded.settings)
        }
        Err(errors) => anyhow::bail!("the trial's own configuration is wrong:\n{}", errors.render(false)),
    }
}

/// Starts it; an address that is taken becomes one with a free port.
fn start(mut settings: Settings, options: impl Fn() -> Options) -> Result<Sidecar, StartError> {
    loop {
        let error = match Sidecar::start(settings.clone(), options()) {
            Ok(sidecar) => return Ok(sidecar),
            Err(error) => error,
        };
        let StartError::Listen { address, .. } = &error else {
            return Err(error);
        };
        let taken = [
            &mut settings.listen.address,
            &mut settings.health,
            &mut settings.admin.address,
        ]
        .into_iter()
        .find(|ours| *ours == address && ours.port() != 0);
        match taken {
            Some(taken) => taken.set_port(0),
            None => return Err(error),
        }
    }
}

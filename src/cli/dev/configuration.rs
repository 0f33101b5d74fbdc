//! The configuration of the trial: the YAML that a person would write for it, with secrets that nobody else has.

use super::{
    apps::{APP, Apps},
    sender::Sender,
};
use crate::{
    config::Settings,
    telemetry::{Entropy, entropy},
};
use data_encoding::{BASE64, HEXLOWER};
use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The sources, each with the preset of its name.
pub(super) const SOURCES: [&str; 5] = ["stripe", "github", "slack", "standard-webhooks", "token"];

/// What the contract's own examples listen on: webhooks, health, admin.
pub(super) const PORTS: [u16; 3] = [9480, 9481, 9482];

/// What each source says beside its provider, path and secret.
const REST: [&str; 5] = [
    "    events: [\"invoice.*\", charge.refunded]
    to: [billing]
",
    "",
    "",
    "    to:
      - {destination: kitchen, events: [order.confirmed]}
      - {destination: billing, events: [order.confirmed, order.collected]}
      - {destination: courier, events: [order.ready, order.collected]}
",
    "    event: \"json:/event\"
    rate_limit: {per: {json: /job}, rate: 2/m, burst: 2}
",
];

/// One secret a source, as its provider writes them.
pub(super) struct Secrets([String; 5]);

impl Secrets {
    /// New ones, of 32 random bytes each.
    pub(super) fn random() -> Self {
        let key = || entropy(Entropy::bytes::<32>);
        Self([
            format!("whsec_{}", HEXLOWER.encode(&key())),
            HEXLOWER.encode(&key()),
            HEXLOWER.encode(&key()),
            format!("whsec_{}", BASE64.encode(&key())),
            HEXLOWER.encode(&key()),
        ])
    }
}

/// The senders, each with a forger who does not know its secret.
pub(super) struct Senders {
    pub stripe: Sender,
    pub github: Sender,
    pub slack: Sender,
    pub standard: Sender,
    pub token: Sender,
}

impl Senders {
    /// The senders of the sources in `settings`.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let guesses = Secrets::random().0;
        let mut senders = Vec::with_capacity(SOURCES.len());
        for (name, guess) in SOURCES.into_iter().zip(guesses) {
            let source = settings.sources.iter().find(|source| source.name.as_str() == name);
            senders.push(Sender::new(source.expect("the trial configures it"), guess)?);
        }
        let [stripe, github, slack, standard, token] = <[Sender; 5]>::try_from(senders)
            .ok()
            .expect("as many as there are sources");
        Ok(Self {
            stripe,
            github,
            slack,
            standard,
            token,
        })
    }
}

/// The file, for a sidecar that listens on `at` (webhooks, health, admin).
pub(super) fn yaml(apps: &Apps, secrets: &Secrets, at: [SocketAddr; 3]) -> String {
    let [listen, health, admin] = at;
    let mut upstream = String::new();
    let mut destinations = String::new();
    for (name, address) in apps.addresses() {
        // Writing to a string cannot fail.
        let _written = if name == APP {
            writeln!(upstream, "upstream: http://{address}")
        } else {
            writeln!(destinations, "  {name}: {{url: \"http://{address}/hooks\"}}")
        };
    }
    let mut text = format!(
        "# The configuration of a trial: `hookward dev` made it, together with secrets that are good for nothing else.\n\
         version: 1\n\nlisten: {listen}\nhealth: {health}\nadmin: {admin}\n{upstream}\nsources:\n"
    );
    for ((name, secret), rest) in SOURCES.iter().zip(&secrets.0).zip(REST) {
        let _written = write!(
            text,
            "  {name}:\n    provider: {name}\n    path: /webhooks/{name}\n    secrets: [{{value: \"{secret}\"}}]\n{rest}\n"
        );
    }
    text + "destinations:\n" + &destinations
}

/// Loopback at each of `ports`.
pub(super) fn loopback(ports: [u16; 3]) -> [SocketAddr; 3] {
    ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The configuration as a file, for the other verbs; it goes when this goes.
pub(super) struct Kept {
    folder: PathBuf,
    file: PathBuf,
}

impl Kept {
    /// Into a new folder that nobody else may read.
    pub(super) fn write(text: &str) -> io::Result<Self> {
        let name = entropy(Entropy::request_id);
        let folder = std::env::temp_dir().join(format!("hookward-dev-{}", &name.as_str()[..8]));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let kept = Self {
            file: folder.join("hookward.yaml"),
            folder,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&kept.file)?;
        file.write_all(text.as_bytes())?;
        Ok(kept)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Somebody may have put something beside it, which is not ours to remove.
        let _gone = fs::remove_file(&self.file);
        let _kept = fs::remove_dir(&self.folder);
    }
}

//! The key `redis`: where the ledger of all replicas is.

use super::{FAIL, Reader};
use crate::config::{problem::Fault, raw, secrets::Fetched, settings::Redis, spot::Spot, url, value};
use crate::event::Secret;
use std::time::Duration;

/// What stands in keys where the configuration names nothing.
const NAMESPACE: &str = "hookward";
const TIMEOUT: Duration = Duration::from_millis(100);

impl Reader<'_> {
    /// Outer `None`: reported. Inner `None`: the ledger lives in this process.
    #[expect(clippy::option_option, reason = "both are absences, of different things")]
    pub(super) fn redis(&self, raw: Option<&raw::Redis>, spot: Spot<'_>) -> Option<Option<Redis>> {
        let Some(raw) = raw else { return Some(None) };
        self.unsupported(
            spot,
            "urls",
            "Redis Cluster comes later; use one server: `url: redis://HOST:PORT/DB`",
        );
        self.unsupported(spot, "sentinel", "use one server: `url: redis://HOST:PORT/DB`");
        self.unsupported(spot, "tls", "use `redis://` on a network that you trust");
        let timeout = self.parsed(raw.timeout.as_deref(), spot.at("timeout"), value::positive);
        let namespace = self.namespace(raw.namespace.as_deref(), spot);
        let password = raw.password.as_ref().and_then(|secret| {
            match self.secret(Some(secret), spot.at("password"), "`redis`", FAIL) {
                Fetched::Held(held) => Some(held.secret),
                Fetched::Missing(_) | Fetched::Refused => None,
            }
        });
        let others = ["url", "urls", "sentinel"].iter().any(|key| !spot.lacks(key));
        if !others {
            self.problems.error(
                spot.label(),
                Fault::new("`url` is missing in `redis`").hint("add `url: redis://127.0.0.1:6379/0`"),
            );
        }
        let place = self.parsed(raw.url.as_deref(), spot.at("url"), url::redis);
        let mut username = raw.username.as_deref().map(str::to_owned);
        let mut password = password;
        if let Some((user, secret)) = place.as_ref().and_then(|place| place.user.clone()) {
            if !secret.is_empty() && spot.lacks("password") {
                self.problems.warn(
                    spot.at("url").value(),
                    Fault::new("the password of `redis` is written into this file")
                        .hint("use `username` and `password: {file: PATH}`"),
                );
                password = Some(Secret::new(secret.into_bytes()));
            } else if spot.has("password") {
                self.problems.error(
                    spot.at("url").value(),
                    Fault::new("`redis` has credentials both in `url` and in `password`")
                        .hint("take them out of `url`"),
                );
            }
            if !user.is_empty() && username.is_none() {
                username = Some(user);
            }
        }
        if username.is_some() && password.is_none() && spot.lacks("password") {
            self.problems.error(
                spot.at("username").label(),
                Fault::new("`redis` has a `username` without a `password`").hint("add `password: {file: PATH}`"),
            );
        }
        let place = place?;
        Some(Some(Redis {
            host: place.host,
            port: place.port,
            database: place.database,
            username,
            password,
            namespace,
            timeout: timeout.unwrap_or(TIMEOUT),
        }))
    }

    fn namespace(&self, raw: Option<&str>, spot: Spot<'_>) -> String {
        match raw {
            Some(name) if self.is_label(name, spot.at("namespace")) => name.to_owned(),
            Some(_) => NAMESPACE.to_owned(),
            None => {
                if spot.lacks("namespace") {
                    self.problems.warn(
                        spot.label(),
                        Fault::new("`redis.namespace` is not set: another installation on this Redis would answer for this one")
                            .hint("add `namespace: NAME`, one for each of staging, production, …"),
                    );
                }
                NAMESPACE.to_owned()
            }
        }
    }
}

//! The key `redis`: where the ledger of all replicas is, in one of the forms that people run it.

use super::{FAIL, Reader};
use crate::{
    config::{
        problem::Fault,
        raw::{self, Listed, RedisLong},
        secrets::Fetched,
        settings::Redis,
        spot::Spot,
        url::{
            is_loopback,
            redis::{self as url, Address, RedisUrl},
        },
        value,
    },
    event::Secret,
    store::{Access, Login, Place, Server},
};
use std::{ops::Deref, time::Duration};

/// What stands in keys where the configuration names nothing.
const NAMESPACE: &str = "hookward";
const TIMEOUT: Duration = Duration::from_millis(100);
/// More seeds or sentinels are a mistake.
const MOST_URLS: usize = 64;

/// Where it is, as far as the URLs say.
struct Found {
    place: Place,
    database: i64,
    /// The URLs ask for TLS.
    tls: bool,
}

impl Found {
    /// Is a server of it on another machine, as far as the URLs say? Of a master, its sentinels are known.
    fn is_remote(&self) -> bool {
        let servers = match &self.place {
            Place::Unix(_) => &[][..],
            Place::Server(server) => std::slice::from_ref(server),
            Place::Cluster(servers) => servers,
            Place::Sentinel { sentinels, .. } => sentinels,
        };
        servers.iter().any(|server| !is_loopback(&server.host))
    }
}

impl Reader<'_> {
    /// Outer `None`: reported. Inner `None`: the ledger lives in this process.
    #[expect(clippy::option_option, reason = "both are absences, of different things")]
    pub(super) fn redis(&self, raw: Option<&raw::Redis>, spot: Spot<'_>) -> Option<Option<Redis>> {
        let nothing = RedisLong::default();
        let (short, raw) = match raw {
            None => return Some(None),
            Some(raw::Redis::Short(url)) => (Some(url), &nothing),
            Some(raw::Redis::Long(long)) => (None, &**long),
        };
        let timeout = self.parsed(raw.timeout.as_deref(), spot.at("timeout"), value::positive);
        let mut login = Login {
            username: raw.username.as_deref().map(str::to_owned),
            password: self.redis_password(raw.password.as_ref(), spot, "`redis`"),
        };
        let found = match (short, short.map_or_else(|| self.form(spot), |_| None)) {
            (Some(url), _) => self.one(Some(url), spot, spot, &mut login),
            (None, Some("url")) => self.one(raw.url.as_ref(), spot.at("url"), spot, &mut login),
            (None, Some("urls")) => self.cluster(raw, spot),
            (None, Some(_)) => self.sentinels(raw.sentinel.as_ref(), spot.at("sentinel")),
            (None, None) => None,
        };
        self.is_login(&login, spot, "redis");
        let sentinel = self.sentinel_login(raw.sentinel.as_ref(), spot.at("sentinel"));
        let tls = raw.tls.as_ref().map(|tls| self.redis_tls(tls, spot.at("tls")));
        let namespace = self.namespace(raw.namespace.as_deref(), spot, found.as_ref());
        let found = found?;
        if !found.tls && found.is_remote() {
            self.problems.warn(
                spot.label(),
                Fault::new("`redis` is on another machine and its URL does not ask for TLS: its password and the ledger's records travel in clear")
                    .hint("begin the URL with `rediss://`, or keep the network between them private"),
            );
        }
        if !found.tls && spot.has("tls") {
            let fault = Fault::new("`tls` does nothing here: the URL does not ask for TLS");
            self.problems.error(
                spot.at("tls").label(),
                fault.hint("begin it with `rediss://`, or take `tls` out"),
            );
            return None;
        }
        let tls = match tls {
            Some(read) => Some(read?),
            None if spot.has("tls") => return None,
            None => found.tls.then(Default::default),
        };
        Some(Some(Redis {
            place: found.place,
            database: found.database,
            access: Access { login, sentinel, tls },
            namespace,
            timeout: timeout.unwrap_or(TIMEOUT),
        }))
    }

    /// Which one of the keys says where it is. `None`: reported.
    fn form(&self, spot: Spot<'_>) -> Option<&'static str> {
        let mut there = ["url", "urls", "sentinel"].into_iter().filter(|key| !spot.lacks(key));
        let Some(form) = there.next() else {
            self.problems.error(
                spot.label(),
                Fault::new("`url` is missing in `redis`").hint("add `url: redis://127.0.0.1:6379/0`"),
            );
            return None;
        };
        if let Some(other) = there.next().filter(|other| spot.has(other) && spot.has(form)) {
            self.problems.error(
                spot.at(other).label(),
                Fault::new(format!("`redis` has both `{form}` and `{other}`"))
                    .hint("`url` is one server, `urls` a Cluster, `sentinel` a master that sentinels name: keep one"),
            );
            return None;
        }
        Some(form)
    }

    /// `url`, which stands at `at`.
    fn one(&self, url: Option<&raw::UrlText>, at: Spot<'_>, spot: Spot<'_>, login: &mut Login) -> Option<Found> {
        let url = self.parsed(url.map(Deref::deref), at, url::server)?;
        if let Some((user, secret)) = url.user {
            if !secret.is_empty() && spot.lacks("password") {
                self.problems.warn(
                    at.value(),
                    Fault::new("the password of `redis` is written into this file")
                        .hint("use `username` and `password: {file: PATH}`"),
                );
                login.password = Some(Secret::new(secret.into_bytes()));
            } else if spot.has("password") {
                self.problems.error(
                    at.value(),
                    Fault::new("`redis` has credentials both in `url` and in `password`")
                        .hint("take them out of `url`"),
                );
            }
            if !user.is_empty() && login.username.is_none() {
                login.username = Some(user);
            }
        }
        let (place, tls) = match url.address {
            Address::Server { server, tls } => (Place::Server(server), tls),
            Address::Unix(path) => (Place::Unix(path), false),
        };
        Some(Found {
            place,
            database: url.database,
            tls,
        })
    }

    /// `urls`: some of the nodes of a Cluster.
    fn cluster(&self, raw: &RedisLong, spot: Spot<'_>) -> Option<Found> {
        let (seeds, tls) = self.servers(raw.urls.as_ref(), spot.at("urls"), "`urls`", url::server)?;
        Some(Found {
            place: Place::Cluster(seeds),
            database: 0,
            tls,
        })
    }

    /// `sentinel`.
    fn sentinels(&self, raw: Option<&raw::Sentinel>, spot: Spot<'_>) -> Option<Found> {
        let raw = raw?;
        for key in ["master", "urls"] {
            if spot.lacks(key) {
                self.problems.error(
                    spot.label(),
                    Fault::new(format!("`{key}` is missing in `redis.sentinel`"))
                        .hint("write `{master: mymaster, urls: [redis://sentinel-0:26379, …]}`"),
                );
            }
        }
        let servers = self.servers(raw.urls.as_ref(), spot.at("urls"), "`sentinel.urls`", url::sentinel);
        let master = raw
            .master
            .as_deref()
            .filter(|name| self.is_label(name, spot.at("master")));
        let (sentinels, tls) = servers?;
        Some(Found {
            place: Place::Sentinel {
                master: master?.to_owned(),
                sentinels,
            },
            database: 0,
            tls,
        })
    }

    /// A list of servers, all with or all without TLS.
    fn servers(
        &self,
        urls: Option<&Listed<raw::UrlText>>,
        spot: Spot<'_>,
        whose: &str,
        parse: fn(&str) -> Result<RedisUrl, Fault>,
    ) -> Option<(Vec<Server>, bool)> {
        let Listed(urls) = urls?;
        let (mut servers, mut schemes) = (Vec::new(), Vec::new());
        for (index, text) in urls.iter().enumerate() {
            let read = |text: &str| parse(text).and_then(|url| plain(url, whose));
            if let Some((server, tls)) = self.parsed(text.as_deref(), spot.item(index), read) {
                servers.push(server);
                schemes.push(tls);
            }
        }
        let reported = servers.len() < urls.len();
        let fault = if urls.is_empty() {
            Fault::new(format!("{whose} is empty")).hint("name at least one; more are better, as any may be away")
        } else if urls.len() > MOST_URLS {
            Fault::new(format!(
                "{whose} has {} entries; at most {MOST_URLS} are asked",
                urls.len()
            ))
            .hint("name a few: they tell of the others")
        } else if schemes.windows(2).any(|two| two[0] != two[1]) {
            Fault::new(format!("{whose} mixes `redis://` and `rediss://`")).hint("use TLS to all of them, or to none")
        } else if reported {
            return None;
        } else {
            return Some((servers, schemes.contains(&true)));
        };
        self.problems.error(spot.label(), fault);
        None
    }

    fn sentinel_login(&self, raw: Option<&raw::Sentinel>, spot: Spot<'_>) -> Login {
        let Some(raw) = raw else { return Login::default() };
        let login = Login {
            username: raw.username.as_deref().map(str::to_owned),
            password: self.redis_password(raw.password.as_ref(), spot, "`redis.sentinel`"),
        };
        self.is_login(&login, spot, "redis.sentinel");
        login
    }

    fn redis_password(&self, raw: Option<&raw::Secret>, spot: Spot<'_>, whose: &str) -> Option<Secret> {
        let secret = match self.secret(Some(raw?), spot.at("password"), whose, FAIL) {
            Fetched::Held(held) | Fetched::Kept(held, _) => held.secret,
            Fetched::Missing(..) | Fetched::Refused => return None,
        };
        if std::str::from_utf8(secret.expose()).is_err() {
            self.problems.error(
                spot.at("password").value(),
                Fault::new(format!("the password of {whose} is not text")).hint("Redis takes UTF-8 passwords only"),
            );
            return None;
        }
        Some(secret)
    }

    fn is_login(&self, login: &Login, spot: Spot<'_>, whose: &str) {
        if login.username.is_some() && login.password.is_none() && spot.lacks("password") {
            self.problems.error(
                spot.at("username").label(),
                Fault::new(format!("`{whose}` has a `username` without a `password`"))
                    .hint("add `password: {file: PATH}`"),
            );
        }
    }

    /// `namespace`, which a Redis on another machine needs: others can share it.
    fn namespace(&self, raw: Option<&str>, spot: Spot<'_>, found: Option<&Found>) -> String {
        match raw {
            Some(name) if self.is_label(name, spot.at("namespace")) => name.to_owned(),
            Some(_) => NAMESPACE.to_owned(),
            None => {
                let fault = Fault::new(
                    "`redis.namespace` is not set: another installation on this Redis would answer for this one",
                )
                .hint("add `namespace: NAME`, one for each of staging, production, …");
                match found {
                    _ if !spot.lacks("namespace") => {}
                    Some(found) if found.is_remote() => self.problems.error(spot.label(), fault),
                    _ => self.problems.warn(spot.label(), fault),
                }
                NAMESPACE.to_owned()
            }
        }
    }
}

/// One of several servers: what holds for all of them has a key of its own.
fn plain(url: RedisUrl, whose: &str) -> Result<(Server, bool), Fault> {
    if url.user.is_some() {
        return Err(Fault::new(format!("{whose} cannot hold credentials"))
            .hint("use `username` and `password: {file: PATH}`, which are those of all of them"));
    }
    if url.database != 0 {
        return Err(
            Fault::new(format!("{whose} cannot hold a database: there is only database 0"))
                .hint("leave it out; `namespace` keeps installations apart"),
        );
    }
    match url.address {
        Address::Server { server, tls } => Ok((server, tls)),
        Address::Unix(_) => Err(Fault::new(format!("{whose} cannot hold a Unix socket"))
            .hint("write `redis://HOST:PORT` or `rediss://HOST:PORT`")),
    }
}

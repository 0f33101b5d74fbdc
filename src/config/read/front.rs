//! Where hookward listens: `listen`, `health`, `admin`, `hosts`.

use super::{FAIL, Reader};
use crate::config::{
    problem::Fault,
    raw::{self, Listed},
    secrets::Fetched,
    settings::{Admin, ClientIp, Listen},
    spot::Spot,
    text::Span,
    value,
};
use crate::event::PathRule;
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9480);
const HEALTH: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9481);
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9482);

/// Plain HTTP at an address, and nothing else.
fn plain(address: SocketAddr) -> Listen {
    Listen {
        address,
        tls: None,
        proxy_protocol: false,
        health_path: None,
    }
}

impl Reader<'_> {
    pub(super) fn listen(&self, raw: Option<&raw::Listen>, spot: Spot<'_>) -> Option<Listen> {
        match raw {
            None => Some(plain(LISTEN)),
            Some(raw::Listen::Short(text)) => self.parsed(Some(text), spot, value::address).map(plain),
            Some(raw::Listen::Long(long)) => {
                let tls = long.tls.as_ref().map(|raw| self.server_tls(raw, spot.at("tls")));
                let health_path = match self.parsed(long.health_path.as_deref(), spot.at("health_path"), value::path) {
                    Some(PathRule::Below(_)) => {
                        self.problems.error(
                            spot.at("health_path").value(),
                            Fault::new("`health_path` is one path, not a prefix"),
                        );
                        None
                    }
                    Some(PathRule::Exact(path)) => Some(path),
                    None => None,
                };
                let address = self.parsed(long.address.as_deref(), spot.at("address"), value::address)?;
                Some(Listen {
                    address,
                    tls: match tls {
                        Some(read) => Some(read?),
                        None => None,
                    },
                    proxy_protocol: long.proxy_protocol.unwrap_or(false),
                    health_path,
                })
            }
        }
    }

    /// A PROXY header is only believed of a trusted peer.
    pub(super) fn proxy_needs_trust(&self, listen: Option<&Listen>, client_ip: &ClientIp, root: Spot<'_>) {
        if listen.is_some_and(|listen| listen.proxy_protocol) && client_ip.trust.is_empty() {
            self.problems.warn(
                root.at("listen").at("proxy_protocol").label(),
                Fault::new("`proxy_protocol` without `client_ip.trust`: nobody's PROXY header is believed")
                    .hint("name your load balancer's addresses: `client_ip: {trust: [10.4.0.0/16]}`"),
            );
        }
    }

    pub fn health(&self, raw: Option<&str>, spot: Spot<'_>) -> Option<SocketAddr> {
        match raw {
            None => Some(HEALTH),
            text => self.parsed(text, spot, value::address),
        }
    }

    pub fn admin(&self, raw: Option<&raw::Admin>, spot: Spot<'_>) -> Option<Admin> {
        let (address, token) = match raw {
            None => (ADMIN, None),
            Some(raw::Admin::Short(text)) => (self.parsed(Some(text), spot, value::address)?, None),
            Some(raw::Admin::Long(long)) => {
                let token = match self.secret(long.token.as_ref(), spot.at("token"), "`admin`", FAIL) {
                    Fetched::Held(held) | Fetched::Kept(held, _) => Some(held.secret),
                    Fetched::Missing(..) | Fetched::Refused => None,
                };
                (
                    self.parsed(long.address.as_deref(), spot.at("address"), value::address)?,
                    token,
                )
            }
        };
        if !address.ip().to_canonical().is_loopback() && spot.lacks("token") {
            let at = if spot.has("address") { spot.at("address") } else { spot };
            self.problems.error(
                at.value(),
                Fault::new(format!(
                    "`admin` on {address} can be reached from other machines and has no token"
                ))
                .hint(format!(
                    "keep it on 127.0.0.1, or write `{{address: \"{address}\", token: {{file: PATH}}}}`"
                )),
            );
        }
        Some(Admin { address, token })
    }

    pub(super) fn hosts(&self, raw: Option<&Listed<impl Deref<Target = str>>>, spot: Spot<'_>) -> Vec<String> {
        let Some(Listed(list)) = raw else { return Vec::new() };
        if list.is_empty() {
            self.problems.error(
                spot.label(),
                Fault::new("an empty list of `hosts` would refuse every request")
                    .hint("leave it out to accept any `Host`"),
            );
        }
        list.iter()
            .enumerate()
            .filter_map(|(index, host)| self.parsed(host.as_deref(), spot.item(index), value::host))
            .collect()
    }

    /// No two listeners on one port. Port 0 is whatever is free.
    pub(super) fn ports(
        &self,
        root: Spot<'_>,
        listen: Option<&Listen>,
        health: Option<SocketAddr>,
        admin: Option<&Admin>,
    ) {
        let place = |key: &str| -> Span {
            let spot = root.at(key);
            if spot.has("address") {
                spot.at("address").value()
            } else {
                spot.value()
            }
        };
        let all = [
            ("listen", listen.map(|listen| listen.address)),
            ("health", health),
            ("admin", admin.map(|admin| admin.address)),
        ];
        for (index, (name, address)) in all.iter().enumerate() {
            for (other_name, other) in &all[..index] {
                let (Some(address), Some(other)) = (address, other) else {
                    continue;
                };
                let same_ip =
                    address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
                if address.port() != 0 && address.port() == other.port() && same_ip {
                    let at = if root.at(name).exists() {
                        place(name)
                    } else {
                        place(other_name)
                    };
                    self.problems.error(
                        at,
                        Fault::new(format!(
                            "`{name}` and `{other_name}` would listen on the same port, {}",
                            address.port()
                        ))
                        .hint("give each its own; the built-in ones are 9480, 9481 and 9482"),
                    );
                }
            }
        }
    }
}

//! `limits` and `client_ip`.

use super::Reader;
use crate::config::{
    environment::memory_limit,
    problem::Fault,
    raw::{self, Forwarding},
    settings::{ClientIp, Limits},
    spot::Spot,
    value,
};
use crate::limit::{PenaltySpec, Rate};
use http::HeaderName;
use ipnet::IpNet;
use std::{num::NonZeroUsize, ops::Deref, time::Duration};

const MOST_BUFFERED: u64 = 64 << 20;
/// As long as a request's body may be where nobody says otherwise.
const ANSWER_BYTES: u64 = 1 << 20;
const PENALTY: PenaltySpec = PenaltySpec {
    rate: Rate {
        count: 30,
        per: Duration::from_mins(1),
    },
    burst: 30,
};

impl Reader<'_> {
    pub(super) fn limits(&self, raw: Option<&raw::Limits>, spot: Spot<'_>) -> Option<Limits> {
        let time = |text: Option<&str>, key: &str, otherwise: u64| {
            self.parsed(text, spot.at(key), value::positive)
                .unwrap_or(Duration::from_secs(otherwise))
        };
        let count = |number: Option<u64>, otherwise: usize| {
            number
                .and_then(|number| usize::try_from(number).ok())
                .and_then(NonZeroUsize::new)
                .or(NonZeroUsize::new(otherwise))
        };
        let workers = match raw.and_then(|raw| raw.workers.as_ref()) {
            Some(raw::Workers::Number(number)) => count(Some(*number), 1),
            Some(raw::Workers::Word(_)) | None => Some(self.env.cpus()),
        };
        let buffered_bytes = match raw.and_then(|raw| raw.buffered_bytes.as_deref()) {
            None | Some("auto") => {
                Some(memory_limit(self.env).map_or(MOST_BUFFERED, |limit| (limit / 4).min(MOST_BUFFERED)))
            }
            text => self.parsed(text, spot.at("buffered_bytes"), value::size),
        };
        let answer_bytes = raw.and_then(|raw| raw.answer_bytes.as_deref());
        let answer_bytes = self.parsed(answer_bytes, spot.at("answer_bytes"), value::size);
        let header_timeout = time(raw.and_then(|raw| raw.header_timeout.as_deref()), "header_timeout", 5);
        let body_timeout = time(raw.and_then(|raw| raw.body_timeout.as_deref()), "body_timeout", 10);
        let shutdown_grace = time(raw.and_then(|raw| raw.shutdown_grace.as_deref()), "shutdown_grace", 15);
        let penalty = raw.and_then(|raw| raw.failed_verifications.as_ref());
        let failed_verifications = self.penalty(penalty, spot.at("failed_verifications"));
        // Nothing above returns early: every problem is to be reported at once.
        Some(Limits {
            connections: count(raw.and_then(|raw| raw.connections), 10_000)?.get(),
            in_flight: count(raw.and_then(|raw| raw.in_flight), 1024)?.get(),
            buffered_bytes: buffered_bytes?,
            answer_bytes: answer_bytes.unwrap_or(ANSWER_BYTES),
            header_timeout,
            body_timeout,
            shutdown_grace,
            failed_verifications,
            ledger_entries: count(raw.and_then(|raw| raw.ledger_entries), 65_536)?,
            workers: workers?,
        })
    }

    fn penalty(&self, raw: Option<&raw::FailedVerifications>, spot: Spot<'_>) -> Option<PenaltySpec> {
        match raw {
            None => Some(PENALTY),
            Some(raw::FailedVerifications::Word(_)) => None,
            Some(raw::FailedVerifications::Spec(spec)) => {
                let rate = self.parsed(spec.rate.as_deref(), spot.at("rate"), value::rate)?;
                Some(PenaltySpec {
                    rate,
                    burst: spec.burst.unwrap_or(rate.count),
                })
            }
        }
    }

    pub(super) fn client_ip(&self, raw: Option<&raw::ClientIp>, root: Spot<'_>) -> ClientIp {
        let spot = root.at("client_ip");
        if spot.lacks("trust") {
            self.problems.warn(
                spot.label(),
                Fault::new("no hop is trusted (`client_ip.trust`), so clients from private and loopback addresses are never penalized")
                    .hint("name your load balancer's addresses, or write `client_ip: {trust: []}` if clients connect directly"),
            );
        }
        let trust = self.networks(raw.and_then(|raw| raw.trust.as_ref()), spot.at("trust"));
        for (index, net) in trust.iter().enumerate() {
            if net.prefix_len() == 0 {
                self.problems.warn(
                    spot.at("trust").item(index).value(),
                    Fault::new(format!("`{net}` trusts everybody: any client can claim any address"))
                        .hint("name your load balancer's addresses alone"),
                );
            }
        }
        let header = match raw.and_then(|raw| raw.header) {
            Some(Forwarding::Forwarded) => HeaderName::from_static("forwarded"),
            Some(Forwarding::XForwardedFor) | None => HeaderName::from_static("x-forwarded-for"),
        };
        ClientIp {
            direct: trust.is_empty() && spot.has("trust"),
            trust,
            header,
        }
    }

    /// A list of networks. Bits behind the prefix are cut off and reported as a warning, as other proxies do.
    pub(super) fn networks(&self, raw: Option<&raw::Listed<impl Deref<Target = str>>>, spot: Spot<'_>) -> Vec<IpNet> {
        let list = raw.iter().flat_map(|list| &list.0).enumerate();
        list.filter_map(|(index, text)| {
            let net = self.parsed(text.as_deref(), spot.item(index), value::network)?;
            if net != net.trunc() {
                self.problems.warn(
                    spot.item(index).value(),
                    Fault::new(format!("`{net}` has bits behind its prefix, which count for nothing"))
                        .hint(format!("did you mean `{}`?", net.trunc())),
                );
            }
            Some(net.trunc())
        })
        .collect()
    }
}

//! The YAML as written, without logic: these types give the JSON Schema, and the schema checks the file's shape.
//!
//! Every field is an `Option`, required ones too: what does not fit is reported and then reads as absent.

mod collection;
mod destination;
mod source;
mod word;

pub(super) use collection::{Listed, Named};
pub(super) use destination::{ClientTls, Destination, Sign, Status, Upstream};
pub(super) use source::{
    Defaults, Fields, Origin, Per, Pin, RateLimit, Replay, ReplayLong, Secret, Setting, Source, To, Tolerance, Verify,
};
pub(super) use word::{Duplicates, Encoding, Forwarding, OnMissing, OnOutage, ReadyPart, ScopeWord, Text, UrlText};

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::Deserialize;
use serde_json::Value;
use word::{Address, Auto, DurationText, HostText, NetworkText, Off, PathText, RateText, SizeText};

/// What hookward reads from its configuration file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "hookward configuration")]
pub(super) struct Root {
    /// Version of this format: 1.
    #[schemars(required, range(min = 1, max = 1), example = 1)]
    pub version: Option<u64>,
    /// Where webhooks arrive. Default 0.0.0.0:9480.
    pub listen: Option<Listen>,
    /// Probes and metrics, read only. Default 0.0.0.0:9481.
    pub health: Option<Address>,
    /// Admin page and JSON API. Default 127.0.0.1:9482; any address but a loopback one needs a token.
    pub admin: Option<Admin>,
    /// Accepted `Host`s; any other is answered 421. Absent: all are accepted.
    pub hosts: Option<Listed<HostText>>,
    /// The app: where a source without `to` goes. The request's own path and query are appended. It receives the sender's
    /// credential too (the `Authorization` of a token, basic or JWT source, or the token wherever it stands).
    pub upstream: Option<Upstream>,
    /// Redis holds the replay ledger for all replicas. Absent: it lives in this process.
    pub redis: Option<Redis>,
    /// A directory for small things that survive a restart: without `redis`, the URLs of provider keys that verified. Never
    /// secrets or bodies.
    pub state_dir: Option<Text>,
    /// Whose forwarding headers are believed.
    pub client_ip: Option<ClientIp>,
    /// Bounds of the process.
    pub limits: Option<Limits>,
    /// What holds for every source that says nothing else; a preset goes before it.
    pub defaults: Option<Defaults>,
    /// What `/readyz` waits for beside the sidecar itself.
    pub ready_requires: Option<Listed<ReadyPart>>,
    /// The senders.
    #[schemars(required)]
    pub sources: Option<Named<Source>>,
    /// Apps that sources name in `to`.
    pub destinations: Option<Named<Upstream>>,
}

/// `listen`, short or long.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Listen {
    Short(Address),
    Long(ListenLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`listen` in its long form")]
pub(super) struct ListenLong {
    /// Address and port.
    #[schemars(required)]
    pub address: Option<Address>,
    /// TLS 1.2 or newer ends here; HTTP/2 where the sender offers it. The files are watched: a rotated certificate holds
    /// for new connections.
    pub tls: Option<ServerTls>,
    /// Every connection of a peer in `client_ip.trust` must begin with a PROXY header (version 1 or 2), before TLS too;
    /// the address that it says counts as the peer's. Default false.
    pub proxy_protocol: Option<bool>,
    /// A path that answers 200 (503 while draining), uncounted, for load balancers that probe the webhook port.
    pub health_path: Option<PathText>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`listen.tls`")]
pub(super) struct ServerTls {
    /// PEM file: the certificate and what leads to its authority, leaf first.
    #[schemars(required)]
    pub cert: Option<Text>,
    /// PEM file: its private key (PKCS#8, PKCS#1 or SEC1, not encrypted).
    #[schemars(required)]
    pub key: Option<Text>,
    /// PEM file: senders must show a certificate of one of these authorities. Default: they need none.
    pub client_ca: Option<Text>,
}

/// `admin`, short or long.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Admin {
    Short(Address),
    Long(AdminLong),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`admin` in its long form")]
pub(super) struct AdminLong {
    /// Address and port.
    #[schemars(required)]
    pub address: Option<Address>,
    /// The bearer token that an address other than loopback needs.
    pub token: Option<Secret>,
}

/// `redis`, short (the URL of one server) or long.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Redis {
    Short(UrlText),
    Long(Box<RedisLong>),
}

impl Redis {
    /// `on_outage`.
    pub fn on_outage(&self) -> Option<OnOutage> {
        match self {
            Self::Short(_) => None,
            Self::Long(long) => long.on_outage,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`redis`")]
pub(super) struct RedisLong {
    /// One server: `redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB` for TLS, `unix:///PATH?db=DB`.
    pub url: Option<UrlText>,
    /// A Cluster: `redis://` or `rediss://` of some of its nodes; they tell of the others.
    pub urls: Option<Listed<UrlText>>,
    /// The master that sentinels name.
    pub sentinel: Option<Sentinel>,
    /// Certificates for `rediss://`; without it the server's is checked against the system's authorities. A rotated file
    /// is taken at a reload.
    pub tls: Option<RedisTls>,
    /// ACL user.
    pub username: Option<Text>,
    /// Its password. A rotated file is taken at a reload.
    pub password: Option<Secret>,
    /// Part of every key, so that staging never answers for production. Needed unless Redis is on this machine.
    pub namespace: Option<Text>,
    /// Time for one call. Default 100ms.
    pub timeout: Option<DurationText>,
    /// What happens to requests while Redis is out. Default `local`.
    pub on_outage: Option<OnOutage>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`redis.sentinel`")]
pub(super) struct Sentinel {
    /// The name that the sentinels know it by.
    pub master: Option<Text>,
    /// The sentinels: `redis://HOST:PORT`, or `rediss://` for TLS to them and to the servers that they name.
    pub urls: Option<Listed<UrlText>>,
    /// ACL user of the sentinels; that of the servers is `redis.username`.
    pub username: Option<Text>,
    /// Password of the sentinels.
    pub password: Option<Secret>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`redis.tls`")]
pub(super) struct RedisTls {
    /// Authorities that are believed, a PEM file. Default those of the system.
    pub ca: Option<Text>,
    /// The certificate that we show, a PEM file.
    pub cert: Option<Text>,
    /// Its private key, a PEM file.
    pub key: Option<Text>,
}

/// `client_ip`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`client_ip`")]
pub(super) struct ClientIp {
    /// Hops whose forwarding header is believed: your load balancer's addresses. `[]` states that clients connect directly:
    /// private and loopback peers can then be penalized too. Default none.
    pub trust: Option<Listed<NetworkText>>,
    /// The header that they write. Default x-forwarded-for.
    pub header: Option<Forwarding>,
}

/// `limits`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "`limits`")]
pub(super) struct Limits {
    /// Open connections. Default 10000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: Option<u64>,
    /// Requests between gate and answer, those that wait for the app included. While more than half is in use, one source
    /// of several has at most half, a `none` source an eighth. Default 1024.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub in_flight: Option<u64>,
    /// All bodies in memory together; `auto` is a quarter of the cgroup's memory limit, at most 64MiB.
    pub buffered_bytes: Option<SizeText>,
    /// The longest answer of an app that is handed through, always whole; a longer one is answered 502 once the ledger is
    /// settled. What answers have over 64KiB counts as `buffered_bytes`, of which all of them together may have half.
    /// Default 1MiB.
    pub answer_bytes: Option<SizeText>,
    /// Time for a request's head. Default 5s.
    pub header_timeout: Option<DurationText>,
    /// Time for a body. Default 10s.
    pub body_timeout: Option<DurationText>,
    /// Time to finish after SIGTERM. Default 15s.
    pub shutdown_grace: Option<DurationText>,
    /// Penalty for failed verifications, per client and source; not for a client that brought a new delivery within 24 h.
    /// Default 30/m, burst 30.
    pub failed_verifications: Option<FailedVerifications>,
    /// Records of the in-process ledger; with Redis, of what this process remembers of it. Default 65536.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub ledger_entries: Option<u64>,
    /// Worker threads; `auto` is the CPUs that the cgroup grants.
    pub workers: Option<Workers>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum FailedVerifications {
    Word(Off),
    Spec(FailedSpec),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "{rate, burst}")]
pub(super) struct FailedSpec {
    /// How fast failures are forgiven.
    #[schemars(required)]
    pub rate: Option<RateText>,
    /// How many are forgiven at once. Default: the rate's count.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub burst: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Workers {
    Word(Auto),
    Number(#[schemars(range(min = 1, max = 512))] u64),
}

/// The JSON Schema (draft 2020-12) of a configuration.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with_transform(RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<Root>().to_value()
}

/// `Option` here means "may be absent"; an explicit null is refused, because it is nearly always a forgotten value.
fn without_null(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let properties = properties.into_iter().flat_map(|properties| properties.values_mut());
    for property in properties.filter_map(Value::as_object_mut) {
        if property.get("default") == Some(&Value::Null) {
            property.remove("default");
        }
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                property.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(words)) = property.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        let Some(Value::Array(branches)) = property.get_mut("anyOf") else {
            continue;
        };
        branches.retain(|branch| branch["type"] != "null");
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            property.remove("anyOf");
            for (key, value) in only {
                property.entry(key).or_insert(value);
            }
        }
    }
}

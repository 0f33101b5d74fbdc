//! What a configuration needs of its surroundings, looked at without starting anything: Redis, destinations, ports.

use super::{bind, store_target};
use crate::{
    config::{Settings, settings::SourceSettings},
    event::{Clock, SourceName},
    provider::Provider,
    server::Listener,
    store::Facts,
    upstream::{DestinationSpec, Fetcher},
};
use futures_util::future::join_all;
use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time};

/// Time for a connection to a destination.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
pub struct Surroundings {
    /// Redis, where one is configured, or why it does not answer.
    pub redis: Option<Result<Facts, String>>,
    /// Every destination, with the time that a connection took (TCP, and TLS where its URL is `https`), or why there is
    /// none.
    pub destinations: Vec<(Arc<DestinationSpec>, Result<Duration, Unreached>)>,
    /// Sources whose provider publishes its keys at one URL: are ours among them?
    pub keys: Vec<(SourceName, Result<(), String>)>,
    /// `listen`, `health` and `admin`: can they be listened on?
    pub ports: Vec<Port>,
}

/// Why a destination is not reached, each a sentence that goes on after its address.
pub enum Unreached {
    /// Nobody is there, now.
    Away(String),
    /// Somebody is there who does not prove to be it, or does not take us for ourselves.
    Unproven(String),
}

/// One address of ours.
pub struct Port {
    /// `listen`, `health` or `admin`.
    pub what: &'static str,
    /// As configured.
    pub address: SocketAddr,
    /// Why it cannot be listened on.
    pub free: io::Result<()>,
}

impl Surroundings {
    /// Looks around. Every part is bounded in time, and all are looked at together.
    pub fn look(settings: &Settings, clock: &dyn Clock) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ports = ports(settings);
        let fetcher = Fetcher::system();
        let (redis, destinations, keys) = runtime.block_on(async {
            let redis = async {
                match store_target(settings) {
                    Some(target) => Some(Facts::ask(&target, clock).await),
                    None => None,
                }
            };
            let destinations = settings.destinations.iter().map(|spec| async {
                let reached = reach(spec, clock).await;
                (spec.clone(), reached)
            });
            let keys = settings.sources.iter().map(|source| async {
                let published = published(source, &fetcher).await?;
                Some((source.name.clone(), published))
            });
            tokio::join!(redis, join_all(destinations), join_all(keys))
        });
        Ok(Self {
            redis,
            destinations,
            keys: keys.into_iter().flatten().collect(),
            ports,
        })
    }
}

/// `None`: nothing is fetched for this source, or each request says from where.
async fn published(source: &SourceSettings, fetcher: &Fetcher) -> Option<Result<(), String>> {
    let provider = Provider::compile(&source.preset, &source.options).ok()?;
    let url = provider.key_url().filter(|_| source.pins_nothing())?;
    Some(match fetcher.fetch(url).await {
        Ok(document) => provider.published_keys(&document).map(drop),
        Err(error) => Err(error.to_string()),
    })
}

async fn reach(spec: &DestinationSpec, clock: &dyn Clock) -> Result<Duration, Unreached> {
    let asked = clock.monotonic();
    let connecting = async {
        let stream = TcpStream::connect((spec.url.host.as_str(), spec.url.port)).await;
        let stream = stream.map_err(|error| {
            Unreached::Away(match error.kind() {
                io::ErrorKind::ConnectionRefused => "refuses connections".to_owned(),
                _ => format!("cannot be reached: {error}"),
            })
        })?;
        match &spec.tls {
            None => Ok(()),
            Some(tls) => tls.try_on(stream).await.map_err(Unreached::Unproven),
        }
    };
    match time::timeout(PATIENCE, connecting).await {
        Ok(reached) => reached.map(|()| clock.monotonic().since(asked)),
        Err(_) => Err(Unreached::Away(format!(
            "does not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// Binds each address as the sidecar does, and lets it go.
fn ports(settings: &Settings) -> Vec<Port> {
    let port = |what, address, free: io::Result<()>| Port { what, address, free };
    let other = |what, address| port(what, address, bind(address).map(drop));
    vec![
        port(
            "listen",
            settings.listen.address,
            Listener::bind(settings.listen.address, NonZeroUsize::MIN).map(drop),
        ),
        other("health", settings.health),
        other("admin", settings.admin.address),
    ]
}

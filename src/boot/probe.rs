//! `ready_requires: [upstream]`: tries a connection to every required destination, now and then.

use super::Core;
use crate::{event::DestinationName, upstream::DestinationSpec};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time};

const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the list of unreachable destinations for as long as it is polled; does nothing while nobody asks for it.
pub(super) async fn watch_upstreams(core: &Core) {
    loop {
        let settings = core.settings.load_full();
        if settings.ready_requires.upstream {
            let routes = settings.sources.iter().flat_map(|source| &source.to);
            let required = routes.filter(|route| route.required).map(|route| &route.destination);
            // A destination of several sources is tried once.
            let destinations: BTreeMap<&DestinationName, &Arc<DestinationSpec>> =
                required.map(|to| (&to.name, to)).collect();
            let mut unreachable = Vec::new();
            for (name, to) in destinations {
                let connected = time::timeout(PATIENCE, TcpStream::connect((to.url.host.as_str(), to.url.port))).await;
                if !matches!(connected, Ok(Ok(_))) {
                    unreachable.push(name.clone());
                }
            }
            core.unreachable.store(Arc::new(unreachable));
        }
        time::sleep(EVERY).await;
    }
}

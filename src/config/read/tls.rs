//! `tls`, wherever it stands: of the listener, of a destination, of Redis.

use super::Reader;
use crate::{
    config::{
        problem::{Fault, excerpt},
        raw,
        spot::Spot,
    },
    event::Secret,
    tls::{Certificates, ClientTls, Identity, ServerTls, TlsError},
};

/// A bundle of all the world's authorities has a quarter of this.
const MAX_BYTES: u64 = 1 << 20;

impl Reader<'_> {
    /// `listen.tls`. `None`: reported.
    pub(super) fn server_tls(&self, raw: &raw::ServerTls, spot: Spot<'_>) -> Option<ServerTls> {
        // That one is missing was reported with the shape.
        let identity = if spot.has("cert") && spot.has("key") {
            self.identity(raw.cert.as_deref(), raw.key.as_deref(), spot)
        } else {
            None
        };
        let clients = self.certificates(raw.client_ca.as_deref(), spot.at("client_ca"));
        if clients.is_none() && !spot.lacks("client_ca") {
            return None;
        }
        let tls = ServerTls {
            identity: identity?,
            clients,
        };
        self.proven(tls.config(&[]).map(|_| tls), spot)
    }

    /// `tls` of a destination. `None`: reported.
    pub(super) fn destination_tls(&self, raw: &raw::ClientTls, spot: Spot<'_>) -> Option<ClientTls> {
        let files = [raw.ca.as_deref(), raw.cert.as_deref(), raw.key.as_deref()];
        self.client_tls(files, raw.server_name.as_deref(), spot)
    }

    /// `redis.tls`. `None`: reported.
    pub(super) fn redis_tls(&self, raw: &raw::RedisTls, spot: Spot<'_>) -> Option<ClientTls> {
        let files = [raw.ca.as_deref(), raw.cert.as_deref(), raw.key.as_deref()];
        self.client_tls(files, None, spot)
    }

    fn client_tls(
        &self,
        [ca, cert, key]: [Option<&str>; 3],
        server_name: Option<&str>,
        spot: Spot<'_>,
    ) -> Option<ClientTls> {
        let identity = self.identity(cert, key, spot);
        let roots = self.certificates(ca, spot.at("ca"));
        let failed = (identity.is_none() && !spot.lacks("cert")) || (roots.is_none() && !spot.lacks("ca"));
        let tls = ClientTls {
            roots,
            identity,
            server_name: server_name.map(str::to_owned),
        };
        if let Some(name) = &tls.server_name
            && tls.name_for(name).is_err()
        {
            let fault = Fault::new(format!("`{}` is neither a host name nor an address", excerpt(name)));
            self.problems.error(spot.at("server_name").value(), fault);
            return None;
        }
        if failed {
            return None;
        }
        self.proven(tls.config(&[]).map(|_| tls), spot)
    }

    fn proven<T>(&self, made: Result<T, TlsError>, spot: Spot<'_>) -> Option<T> {
        made.inspect_err(|error| self.problems.error(spot.label(), Fault::new(format!("`tls`: {error}"))))
            .ok()
    }

    /// A certificate and its key: both or none.
    fn identity(&self, cert: Option<&str>, key: Option<&str>, spot: Spot<'_>) -> Option<Identity> {
        match (spot.lacks("cert"), spot.lacks("key")) {
            (true, true) => return None,
            (false, false) => {}
            (lacks_cert, _) => {
                let (there, missing) = if lacks_cert { ("key", "cert") } else { ("cert", "key") };
                self.problems.error(
                    spot.at(there).label(),
                    Fault::new(format!("`{there}` without `{missing}`")).hint(format!("add `{missing}: FILE`")),
                );
                return None;
            }
        }
        let chain = self.certificates(cert, spot.at("cert"));
        let at = spot.at("key");
        let bytes = self.tls_file(key?, at)?;
        match Identity::new(chain?, Secret::new(bytes)) {
            Ok(identity) => Some(identity),
            Err(error) => {
                let fault = Fault::new(format!("`{}`: {error}", excerpt(key?)));
                self.problems.error(at.value(), fault);
                None
            }
        }
    }

    fn certificates(&self, file: Option<&str>, spot: Spot<'_>) -> Option<Certificates> {
        let bytes = self.tls_file(file?, spot)?;
        Certificates::parse(&bytes)
            .inspect_err(|error| {
                let fault = Fault::new(format!("`{}`: {error}", excerpt(file.unwrap_or_default())));
                self.problems.error(spot.value(), fault);
            })
            .ok()
    }

    /// Watched like a secret file, so that a rotated certificate arrives.
    fn tls_file(&self, file: &str, spot: Spot<'_>) -> Option<Vec<u8>> {
        let path = self.base.join(file);
        self.files.borrow_mut().insert(path.clone());
        self.warn_if_mounted_alone(&path, file, spot);
        self.env
            .read(&path, MAX_BYTES)
            .inspect_err(|error| {
                let fault = Fault::new(format!("`{}` cannot be read: {error}", path.display()))
                    .hint("is the Secret mounted there?");
                self.problems.unreadable(spot.value(), fault);
            })
            .ok()
    }
}

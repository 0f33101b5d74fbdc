//! The URL as a provider sees it: `public_url` plus the request's raw path and query, never rebuilt from `Host`.

/// A parsed `public_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: String,
    host: String,
    /// `:8443`; empty where none is configured.
    port: String,
    prefix: String,
}

/// Which form of the URL is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As configured.
    Whole,
    /// With the scheme's own port where none is configured (Twilio signs either).
    WithPort,
    /// Without a port.
    WithoutPort,
    /// As configured, without the query.
    WithoutQuery,
}

impl PublicUrl {
    /// Reads `https://host[:port][/prefix]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "https" | "http"))
            .ok_or("it must begin with `https://` (or `http://`)")?;
        if rest.contains(['?', '#', '@', ' ', '\\']) {
            return Err("it must be scheme, host and at most a path: no query, fragment or user".to_owned());
        }
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, prefix) = rest.split_at(at);
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = match port_at {
            Some(at) => {
                let port: u16 = authority[at + 1..]
                    .parse()
                    .map_err(|_| "its port is not a number up to 65535")?;
                (&authority[..at], format!(":{port}"))
            }
            None => (authority, String::new()),
        };
        if host.is_empty() || authority.parse::<http::uri::Authority>().is_err() {
            return Err("it has no host".to_owned());
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }

    /// The URL of a raw target.
    pub fn of(&self, target: &str, form: Form) -> String {
        let mut url = String::with_capacity(64 + target.len());
        self.write(target, form, |part| url.push_str(part));
        url
    }

    /// The same in its parts, for what is fed and not kept.
    pub fn write(&self, target: &str, form: Form, mut take: impl FnMut(&str)) {
        take(&self.scheme);
        take("://");
        take(&self.host);
        match form {
            Form::WithPort if self.port.is_empty() => take(self.own_port()),
            Form::Whole | Form::WithoutQuery | Form::WithPort => take(&self.port),
            Form::WithoutPort => {}
        }
        take(&self.prefix);
        take(match form {
            Form::WithoutQuery => target.split('?').next().unwrap_or(target),
            _ => target,
        });
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host in lower case, and the port where it is not the scheme's own (RFC 9421, 2.2.3).
    pub fn authority(&self) -> String {
        let port = Some(&*self.port)
            .filter(|port| *port != self.own_port())
            .unwrap_or_default();
        format!("{}{port}", self.host.to_ascii_lowercase())
    }

    /// The port that goes without saying.
    fn own_port(&self) -> &'static str {
        if self.scheme == "https" { ":443" } else { ":80" }
    }

    /// The path before the request's own one, without its last slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same place under the other scheme, for a diagnosis.
    pub fn other_scheme(&self) -> Self {
        let scheme = if self.scheme == "https" { "http" } else { "https" };
        Self {
            scheme: scheme.to_owned(),
            ..self.clone()
        }
    }

    /// The same place without its port, if it has one, for a diagnosis.
    pub fn without_port(&self) -> Option<Self> {
        (!self.port.is_empty()).then(|| Self {
            port: String::new(),
            ..self.clone()
        })
    }

    /// The same place with another host, for a diagnosis.
    pub fn with_authority(&self, authority: &str) -> Option<Self> {
        let other = Self::parse(&format!("{}://{authority}", self.scheme)).ok()?;
        Some(Self {
            prefix: self.prefix.clone(),
            ..other
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_configured_place_plus_the_raw_target() {
        let url = PublicUrl::parse("https://hooks.example.com/in/").expect("a URL");
        assert_eq!(
            url.of("/a%20b?x=1", Form::Whole),
            "https://hooks.example.com/in/a%20b?x=1"
        );
        assert_eq!(url.of("/a", Form::WithPort), "https://hooks.example.com:443/in/a");
        assert_eq!(url.of("/a?x=1", Form::WithoutQuery), "https://hooks.example.com/in/a");
        let url = PublicUrl::parse("http://[::1]:8080").expect("a URL");
        assert_eq!(url.of("/a", Form::WithoutPort), "http://[::1]/a");
        assert_eq!(url.of("/a", Form::Whole), "http://[::1]:8080/a");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for bad in [
            "",
            "hooks.example.com",
            "ftp://x",
            "https://",
            "https:///p",
            "https://h?x",
            "https://u@h",
            "https://h:99999",
            "https://h:x",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }
}

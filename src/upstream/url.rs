//! A destination's URL, read once when the configuration is loaded.

use super::{DestinationUrl, TargetRule};
use http::{HeaderValue, Uri};

impl DestinationUrl {
    /// Reads `http://host[:port][/path][?query]`, or the same with `https`.
    ///
    /// `plain`: it is the plain `upstream`, whose path goes before the request's own (and which has no query);
    /// otherwise a destination's `url`, used as it stands. The error is a sentence for the writer of the configuration.
    pub fn parse(text: &str, plain: bool) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("`{text}` is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("a destination's URL starts with `http://` or `https://`".to_owned()),
        };
        // `Uri` drops a fragment in silence; whoever wrote one expects something of it.
        if text.contains('#') {
            return Err("a destination's URL has no fragment (`#…`)".to_owned());
        }
        let authority = uri.authority().ok_or("a destination's URL names a host")?;
        if authority.as_str().contains('@') {
            return Err("a destination's URL has no user or password: use `headers`".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("a destination's URL names a host".to_owned());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if secure => 443,
            Some("") => 80,
            Some(rest) => {
                let port = rest.strip_prefix(':').and_then(|digits| digits.parse().ok());
                port.filter(|port| *port != 0)
                    .ok_or_else(|| format!("`{rest}` is not a port"))?
            }
            None => return Err(format!("`{text}` is not a URL")),
        };
        let target = match (plain, uri.query()) {
            (true, Some(_)) => {
                return Err("`upstream` has no query: the request's own path and query are appended".to_owned());
            }
            (true, None) => TargetRule::Append {
                prefix: uri.path().trim_end_matches('/').to_owned(),
            },
            (false, query) => TargetRule::Fixed {
                path: uri.path().to_owned(),
                query: query.map(str::to_owned),
            },
        };
        let authority =
            HeaderValue::from_str(authority.as_str()).map_err(|_| format!("`{text}` names no usable host"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
            secure,
            authority,
            target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(path: &str, query: Option<&str>) -> TargetRule {
        TargetRule::Fixed {
            path: path.to_owned(),
            query: query.map(str::to_owned),
        }
    }

    fn append(prefix: &str) -> TargetRule {
        TargetRule::Append {
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (text, plain, host, port, authority, target) in [
            (
                "http://127.0.0.1:3000",
                true,
                "127.0.0.1",
                3000,
                "127.0.0.1:3000",
                append(""),
            ),
            ("http://app/", true, "app", 80, "app", append("")),
            ("http://app/base/", true, "app", 80, "app", append("/base")),
            ("http://app", false, "app", 80, "app", fixed("/", None)),
            ("https://app", false, "app", 443, "app", fixed("/", None)),
            ("https://app:80/x", true, "app", 80, "app:80", append("/x")),
            (
                "http://app:81/h/b?x=1&y",
                false,
                "app",
                81,
                "app:81",
                fixed("/h/b", Some("x=1&y")),
            ),
            (
                "http://[::1]:3000/h/",
                false,
                "::1",
                3000,
                "[::1]:3000",
                fixed("/h/", None),
            ),
            ("http://[::1]", false, "::1", 80, "[::1]", fixed("/", None)),
        ] {
            let url = DestinationUrl::parse(text, plain).expect(text);
            assert_eq!(url.secure, text.starts_with("https:"), "{text}");
            assert_eq!(
                (url.host.as_str(), url.port, url.authority.as_bytes(), &url.target),
                (host, port, authority.as_bytes(), &target),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_destination_says_why() {
        for (text, plain, words) in [
            ("ftp://app", false, "http://"),
            ("/only/a/path", false, "http://"),
            ("app:80", false, "http://"),
            ("http://", false, "not a URL"),
            ("http://app:0", false, "not a port"),
            ("http://app:99999", false, "not a"),
            ("http://u:p@app", false, "no user"),
            ("http://app/x#y", false, "fragment"),
            ("http://app/?x=1", true, "no query"),
            ("http://a b", false, "not a URL"),
        ] {
            let error = DestinationUrl::parse(text, plain).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}

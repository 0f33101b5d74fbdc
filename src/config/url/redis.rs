//! The URL of a Redis: `redis://`, `rediss://` (TLS), `unix://` (a socket on this machine).

use super::{Fault, excerpt, host, no_host, parse, percent_decoded, shown};
use crate::store::Server;
use std::path::PathBuf;

const EXAMPLE: &str = "redis://127.0.0.1:6379/0";

/// Where a Redis is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct RedisUrl {
    pub address: Address,
    pub database: i64,
    /// User and password, where the URL holds them.
    pub user: Option<(String, String)>,
}

/// How it is reached.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) enum Address {
    Server { server: Server, tls: bool },
    Unix(PathBuf),
}

/// The URL of a server that keeps records.
pub(in crate::config) fn server(text: &str) -> Result<RedisUrl, Fault> {
    match text.split_once("://") {
        Some(("redis", _)) => tcp(text, false, 6379),
        Some(("rediss", _)) => tcp(text, true, 6379),
        Some(("unix" | "redis+unix", rest)) => unix(text, rest),
        _ => Err(
            Fault::new(format!("`{}` is not a Redis URL", shown(text))).hint(format!(
                "write it as in `{EXAMPLE}`, `rediss://HOST:PORT/DB` or `unix:///PATH?db=0`"
            )),
        ),
    }
}

/// The URL of a sentinel.
pub(in crate::config) fn sentinel(text: &str) -> Result<RedisUrl, Fault> {
    match text.split_once("://") {
        Some(("redis", _)) => tcp(text, false, 26_379),
        Some(("rediss", _)) => tcp(text, true, 26_379),
        _ => Err(Fault::new(format!("`{}` is not the URL of a sentinel", shown(text)))
            .hint("write it as in `redis://sentinel:26379`, or with `rediss://` for TLS")),
    }
}

fn tcp(text: &str, tls: bool, default: u16) -> Result<RedisUrl, Fault> {
    let uri = parse(text, EXAMPLE)?;
    let authority = uri.authority().ok_or_else(|| no_host(text))?;
    let user = authority.as_str().rsplit_once('@').map(|(user, _)| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        (percent_decoded(name), percent_decoded(password))
    });
    if uri.query().is_some() {
        return Err(
            Fault::new("a Redis URL has no query here").hint("everything else has a key of its own under `redis`")
        );
    }
    let database = match uri.path().trim_matches('/') {
        "" => 0,
        number => database(number)?,
    };
    let server = Server::new(host(authority.host(), text)?, uri.port_u16().unwrap_or(default));
    Ok(RedisUrl {
        address: Address::Server { server, tls },
        database,
        user,
    })
}

/// `rest` is what follows `://`.
fn unix(text: &str, rest: &str) -> Result<RedisUrl, Fault> {
    let wrong = |what: &str| Fault::new(what.to_owned()).hint("write it as in `unix:///run/redis/redis.sock?db=0`");
    if text.contains('#') {
        return Err(wrong("a URL has no fragment (`#`) here"));
    }
    let (path, query) = rest
        .split_once('?')
        .map_or((rest, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') {
        return Err(wrong(
            "the URL of a Unix socket has no host: its path begins right after `://`",
        ));
    }
    let database = match query.map(|query| query.strip_prefix("db=")) {
        None => 0,
        Some(Some(number)) => database(number)?,
        Some(None) => return Err(wrong("the URL of a Unix socket takes `?db=N` and nothing else")),
    };
    let path = percent_decoded(path);
    // `sun_path` holds 108 bytes with the last a NUL.
    if path.len() > 107 || path.contains('\0') || path.ends_with('/') {
        return Err(wrong("it is not the path of a Unix socket (at most 107 bytes)"));
    }
    Ok(RedisUrl {
        address: Address::Unix(PathBuf::from(path)),
        database,
        user: None,
    })
}

fn database(number: &str) -> Result<i64, Fault> {
    number.parse().ok().filter(|number| *number >= 0).ok_or_else(|| {
        Fault::new(format!("`{}` is not the number of a Redis database", excerpt(number)))
            .hint(format!("write it as in `{EXAMPLE}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_its_parts() {
        let at = |host: &str, port, tls| Address::Server {
            server: Server::new(host, port),
            tls,
        };
        let url = |address, database| RedisUrl {
            address,
            database,
            user: None,
        };
        let socket = || Address::Unix(PathBuf::from("/run/redis sock"));
        for (text, expected) in [
            ("rediss://[::1]", url(at("::1", 6379, true), 0)),
            ("redis://h:7000/3", url(at("h", 7000, false), 3)),
            ("unix:///run/redis%20sock", url(socket(), 0)),
            ("redis+unix:///run/redis sock?db=2", url(socket(), 2)),
        ] {
            assert_eq!(server(text), Ok(expected), "{text}");
        }
        let user = server("redis://u:p%40@h/3").expect("a URL").user;
        assert_eq!(user, Some(("u".to_owned(), "p@".to_owned())));
        assert_eq!(sentinel("redis://h"), Ok(url(at("h", 26_379, false), 0)));
        for bad in [
            "redis://h/x",
            "redis://h/-1",
            "redis://h:0/",
            "redis://h:99999",
            "redis://h?x=1",
            "http://h",
            "redis://",
            "unix://run/redis.sock",
            "unix:///run/redis.sock?x=1",
            "unix:///run/redis.sock?db=x",
            "unix:///run/",
            "unix:///a\0",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
        assert!(server(&format!("unix:///{}", "x".repeat(107))).is_err());
        assert!(sentinel("unix:///run/redis.sock").is_err());
    }
}

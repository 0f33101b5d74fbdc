//! Texts with a format of their own: durations, sizes, rates, addresses, networks, paths, places in a request.

use super::problem::{Fault, excerpt};
use crate::{
    event::{PathRule, path},
    limit::Rate,
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Longest duration that is taken for meant: a hundred years would overflow clocks further in.
const LONGEST: Duration = Duration::from_hours(87600);

/// `100ms`, `5m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let wrong = || {
        Fault::new(format!("`{}` is not a duration", excerpt(text)))
            .hint("write a whole number and one of ms, s, m, h, d: `100ms`, `5m`, `24h`")
    };
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let one = match &rest[digits..digits + unit] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            "" => return Err(wrong()),
            unit => {
                let fault = Fault::new(format!(
                    "`{}` is not a duration: `{}` is not a unit",
                    excerpt(text),
                    excerpt(unit)
                ));
                let meant = match unit.to_lowercase().as_str() {
                    "sec" | "secs" | "second" | "seconds" => "s",
                    "min" | "mins" | "minute" | "minutes" => "m",
                    "hr" | "hrs" | "hour" | "hours" => "h",
                    "day" | "days" => "d",
                    "msec" | "millis" | "milliseconds" => "ms",
                    _ => return Err(fault.hint("the units are ms, s, m, h, d: `100ms`, `5m`, `24h`")),
                };
                return Err(fault.hint(format!("did you mean `{count}{meant}`?")));
            }
        };
        total = one
            .checked_mul(count)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = &rest[digits + unit..];
    }
    if total > LONGEST {
        return Err(Fault::new(format!("`{}` is longer than ten years", excerpt(text))));
    }
    Ok(total)
}

/// A duration of which zero makes no sense.
pub(super) fn positive(text: &str) -> Result<Duration, Fault> {
    match duration(text)? {
        Duration::ZERO => Err(Fault::new(format!("`{}` leaves no time at all", excerpt(text)))),
        some => Ok(some),
    }
}

/// How a duration is written: the reverse of [`duration`], in its largest whole unit.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// `512B`, `64KiB`, `25MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Result<u64, Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let wrong = || {
        Fault::new(format!("`{}` is not a size", excerpt(text)))
            .hint("write a whole number and one of B, KiB, MiB, GiB: `512KiB`, `25MiB`")
    };
    let count: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = &text[digits..];
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => {
            let meant = match unit.to_lowercase().as_str() {
                "k" | "kb" | "ki" | "kib" => "KiB",
                "m" | "mb" | "mi" | "mib" => "MiB",
                "g" | "gb" | "gi" | "gib" => "GiB",
                _ => return Err(wrong()),
            };
            return Err(
                Fault::new(format!("`{}` is not a size: `{unit}` is not a unit", excerpt(text)))
                    .hint(format!("did you mean `{count}{meant}`?")),
            );
        }
    };
    match count.checked_mul(1 << shift) {
        Some(0) => Err(Fault::new(format!("`{}` leaves room for nothing", excerpt(text)))),
        Some(size) if size <= 1 << 40 => Ok(size),
        _ => Err(Fault::new(format!("`{}` is larger than 1024GiB", excerpt(text)))),
    }
}

/// The reverse of [`size`].
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// `200/s`, `30/m`, `5/h`.
pub(super) fn rate(text: &str) -> Result<Rate, Fault> {
    let wrong = || {
        Fault::new(format!("`{}` is not a rate", excerpt(text)))
            .hint("write a whole number, a slash and one of s, m, h, d: `200/s`, `30/m`")
    };
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    if count == 0 {
        return Err(Fault::new(format!("`{}` lets nothing through", excerpt(text)))
            .hint("leave it out for the default, or write `off`"));
    }
    let per = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "sec" | "second" => return Err(wrong().hint(format!("did you mean `{count}/s`?"))),
        "min" | "minute" => return Err(wrong().hint(format!("did you mean `{count}/m`?"))),
        "hour" => return Err(wrong().hint(format!("did you mean `{count}/h`?"))),
        "day" => return Err(wrong().hint(format!("did you mean `{count}/d`?"))),
        _ => return Err(wrong()),
    };
    Ok(Rate {
        count,
        per: Duration::from_secs(per),
    })
}

/// `0.0.0.0:9480`, `[::1]:9482`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let fault = Fault::new(format!("`{}` is not an address with a port", excerpt(text)));
    Err(match text.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => fault.hint(format!("did you mean `0.0.0.0:{port}`?")),
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
            fault.hint(format!("did you mean `127.0.0.1:{port}`?"))
        }
        None if text.parse::<IpAddr>().is_ok() => fault.hint(format!("add a port: `{text}:9480`")),
        _ => fault.hint("write an IP address and a port: `0.0.0.0:9480`, `[::]:9480`"),
    })
}

/// `10.4.0.0/16`, `2001:db8::/32`, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, Fault> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(net);
    }
    text.parse::<IpAddr>().map(IpNet::from).map_err(|_| {
        Fault::new(format!("`{}` is not a network", excerpt(text)))
            .hint("write an address and a prefix length: `10.4.0.0/16`, `2001:db8::/32`")
    })
}

/// `hooks.example.com`, lower-cased.
pub(super) fn host(text: &str) -> Result<String, Fault> {
    let fault = || Fault::new(format!("`{}` is not a host name", excerpt(text)));
    if text.contains("://") || text.contains('/') {
        return Err(fault().hint("write the name alone, without scheme and path"));
    }
    if text.contains('*') {
        return Err(fault().hint("patterns are not supported: list every name"));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !name.contains(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(fault().hint(format!("leave the port out: `{name}`")));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() || is_host_name(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(fault().hint("letters, digits and dashes between dots: `hooks.example.com`"))
    }
}

/// RFC 1123, with the underscore that container networks use.
pub(super) fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// An exact path or `/prefix/*`. What the gate refuses in a request could never match and is refused here too.
pub(super) fn path(text: &str) -> Result<PathRule, Fault> {
    let fault = |why: &str| Fault::new(format!("`{}` is not a path that can match: {why}", excerpt(text)));
    if !text.starts_with('/') {
        return Err(fault("it does not begin with `/`").hint(format!("did you mean `/{}`?", excerpt(text))));
    }
    let exact = match text.strip_suffix("/*") {
        Some(prefix) => prefix,
        None => text,
    };
    if exact.contains('*') {
        return Err(
            fault("`*` stands only at the end, after a `/`").hint("`/hooks/*` takes everything below `/hooks/`")
        );
    }
    if exact.contains(['?', '#']) {
        return Err(fault("a path has no query and no fragment").hint("the query of a request is always forwarded"));
    }
    if !exact.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(
            fault("only printable ASCII without spaces").hint("percent-encode other characters as the sender does")
        );
    }
    let lower = exact.to_ascii_lowercase();
    if lower.contains("//") || lower.contains('\\') || ["%2f", "%5c", "%00"].iter().any(|bad| lower.contains(bad)) {
        return Err(fault(
            "requests with `//`, a backslash, `%2f`, `%5c` or `%00` are refused",
        ));
    }
    if lower
        .split('/')
        .any(|part| matches!(part.replace("%2e", ".").split(';').next(), Some("." | "..")))
    {
        return Err(fault("requests with `.` or `..` as a segment are refused"));
    }
    let plain = path::without_needless_escapes(text);
    if plain != text {
        return Err(
            fault("requests with percent-encoded letters, digits, `-`, `.`, `_` or `~` are refused")
                .hint(format!("did you mean `{}`?", excerpt(&plain))),
        );
    }
    Ok(match text.strip_suffix('*') {
        Some(prefix) => PathRule::Below(prefix.to_owned()),
        None => PathRule::Exact(text.to_owned()),
    })
}

/// `header:X`, `json:/ptr`: where in a request a value is.
pub(super) fn place(text: &str) -> Result<String, Fault> {
    let fault = |why: &str| Fault::new(format!("`{}` is not a place in a request{why}", excerpt(text)));
    match text.split_once(':') {
        Some(("header", name)) => match http::HeaderName::try_from(name) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(fault(": that is not the name of a header")),
        },
        Some(("json", pointer)) if pointer.starts_with('/') => Ok(text.to_owned()),
        Some(("json", pointer)) => Err(fault(": a JSON pointer begins with `/`")
            .hint(format!("did you mean `json:/{}`?", excerpt(&pointer.replace('.', "/"))))),
        _ => Err(fault("").hint("write `header:NAME` or `json:/POINTER`")),
    }
}

/// Seconds of Unix time of `2027-01-31T00:00:00Z` or `2027-01-31`.
pub(super) fn time(text: &str) -> Result<i64, Fault> {
    let moment = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse());
    moment.map(jiff::Timestamp::as_second).map_err(|_| {
        Fault::new(format!("`{}` is not a time", excerpt(text)))
            .hint("write it as in `2027-01-31T00:00:00Z` or `2027-01-31`")
    })
}

#[cfg(test)]
mod tests;

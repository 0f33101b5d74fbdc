//! Points in time as the command line takes and shows them: Unix seconds in, RFC 3339 out.

use crate::event::Timestamp;
use std::time::Duration;

/// Reads `--at`: Unix seconds, a fraction allowed.
pub(super) fn unix(text: &str) -> Result<Timestamp, String> {
    let seconds: f64 = text
        .trim()
        .parse()
        .map_err(|_| "give Unix seconds, such as 1760000000".to_owned())?;
    of_seconds(seconds).ok_or_else(|| "that is no time".to_owned())
}

/// From Unix seconds; `None` if nobody lives then.
pub(super) fn of_seconds(seconds: f64) -> Option<Timestamp> {
    // Up to the year 9999: what RFC 3339 can write.
    let fits = (0.0..253_402_300_800.0).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
    fits.then(|| Timestamp::from_millis((seconds * 1000.0).round() as i64))
}

/// From a `Date` header, such as `Thu, 09 Oct 2025 08:53:20 GMT` (RFC 9110, 5.6.7).
pub(super) fn of_http(text: &str) -> Option<Timestamp> {
    let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(moment.as_millisecond()))
}

/// `2025-10-09T08:53:20Z`.
pub(super) fn shown(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.as_millis());
    moment.map_or_else(|_| format!("Unix time {}", at.as_secs()), |moment| moment.to_string())
}

/// `3 d`, `76 h`, `5 min`, `90 s`: the largest unit that leaves no rest.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_are_read_and_nothing_else() {
        assert_eq!(unix("1760000000"), Ok(Timestamp::from_secs(1_760_000_000)));
        assert_eq!(unix("1760000000.25"), Ok(Timestamp::from_millis(1_760_000_000_250)));
        for bad in ["", "now", "-1", "1e18", "NaN", "inf", "2025-10-09"] {
            assert!(unix(bad).is_err(), "{bad}");
        }
        assert_eq!(
            of_http("Thu, 09 Oct 2025 08:53:20 GMT"),
            Some(Timestamp::from_secs(1_760_000_000))
        );
        assert_eq!(of_http("yesterday"), None);
        assert_eq!(shown(Timestamp::from_secs(1_760_000_000)), "2025-10-09T08:53:20Z");
    }
}

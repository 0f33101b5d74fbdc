//! Signed time: read strictly, and held against a window that is closed at both ends.

use super::{Tolerance, preset::Unit};
use crate::event::Timestamp;

/// Reads a time as the provider writes it; strict, because a lenient reader and the app's may differ.
pub fn parse(text: &[u8], unit: Unit) -> Option<Timestamp> {
    match unit {
        Unit::S => whole(text).map(Timestamp::from_secs),
        Unit::Ms => whole(text).map(Timestamp::from_millis),
        Unit::Iso => rfc3339(text),
    }
}

/// Writes a time as [`parse`] reads it.
pub fn write(at: Timestamp, unit: Unit) -> String {
    match unit {
        Unit::S => at.as_secs().to_string(),
        Unit::Ms => at.as_millis().to_string(),
        Unit::Iso => {
            let (year, month, day) = civil(at.as_secs().div_euclid(86_400));
            let second = at.as_secs().rem_euclid(86_400);
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let millis = at.as_millis().rem_euclid(1000);
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
        }
    }
}

/// Age in milliseconds at `now`, if that lies outside the window (`age <= past` and `-age <= future` is inside).
pub fn outside(at: Timestamp, unit: Unit, window: Tolerance, now: Timestamp) -> Option<i64> {
    // A time in whole seconds is as old as whole seconds tell: 300.9 s after it, it is 300 s old, as the SDKs count.
    let now = match unit {
        Unit::S => Timestamp::from_secs(now.as_secs()),
        Unit::Ms | Unit::Iso => now,
    };
    let age = now.millis_since(at);
    let bound = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let inside = age <= bound(window.past) && age.checked_neg().is_some_and(|ahead| ahead <= bound(window.future));
    (!inside).then_some(age)
}

/// Digits only, no leading zero, at most 16 of them: no sign, fraction or exponent, and no overflow.
fn whole(text: &[u8]) -> Option<i64> {
    let plain =
        (1..=16).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) && (text[0] != b'0' || text.len() == 1);
    if !plain {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// `2025-10-09T08:53:20[.fraction](Z|+hh:mm)`; what lies below a millisecond is cut.
fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else {
        return None;
    };
    let [b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *time else {
        return None;
    };
    let year = digits(&[y1, y2, y3, y4])?;
    let (month, day) = (digits(&[m1, m2])?, digits(&[d1, d2])?);
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[n1, n2])?, digits(&[s1, s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millis, zone) = fraction(rest)?;
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let days = days_of(year, month, day)?;
    let secs = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp::from_millis(secs * 1000 + millis))
}

fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let millis = (0..3).fold(0, |sum, at| {
        sum * 10 + rest[..length].get(at).map_or(0, |digit| i64::from(digit - b'0'))
    });
    Some((millis, &rest[length..]))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970-01-01 of a date that exists (Howard Hinnant's `days_from_civil`).
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // Reading the date back refuses a 30th of February and a 13th month.
    (civil(days) == (year, month, day)).then_some(days)
}

/// The date of a day (`civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn only_plain_digits_are_a_time() {
        assert_eq!(parse(b"1760000000", Unit::S), Some(Timestamp::from_secs(1_760_000_000)));
        assert_eq!(parse(b"0", Unit::S), Some(Timestamp::from_secs(0)));
        assert_eq!(
            parse(b"1760000000123", Unit::Ms),
            Some(Timestamp::from_millis(1_760_000_000_123))
        );
        for bad in [
            "",
            "abc",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e9",
            " 1",
            "1 ",
            "12345678901234567",
            "99999999999999999999",
            "１",
            "-9223372036854775808",
        ] {
            assert_eq!(parse(bad.as_bytes(), Unit::S), None, "{bad:?}");
        }
    }

    #[test]
    fn rfc3339_is_read_to_the_millisecond() {
        for (text, millis) in [
            ("2025-10-09T08:53:20Z", 1_760_000_000_000),
            ("2025-10-09T08:53:20.123456789Z", 1_760_000_000_123),
            ("2025-10-09T01:53:20-07:00", 1_760_000_000_000),
            ("2025-10-09T08:53:20.5+00:00", 1_760_000_000_500),
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2025-10-09T23:59:59Z", 1_760_054_399_000),
            ("2025-10-09T00:00:00.000000009Z", 1_759_968_000_000),
            ("2025-10-09T08:53:20+23:59", 1_759_913_660_000),
            ("2025-10-09T08:53:20-00:01", 1_760_000_060_000),
        ] {
            assert_eq!(
                parse(text.as_bytes(), Unit::Iso),
                Some(Timestamp::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "2025-10-09",
            "2025-10-09 08:53:20Z",
            "2025-10-09T08:53:20",
            "2025-02-30T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-10T00:00:00Z",
            "2025-10-09T24:00:00Z",
            "2025-10-09T08:60:20Z",
            "2025-10-09T08:53:60Z",
            "2025-10-09T99:99:99Z",
            "2025-10-09T08:53:20+24:00",
            "2025-10-09T08:53:20+00:60",
            "2025-10-09T08:53:20+99:99",
            "2025-10-09T08:53:20.Z",
            "2025-10-09T08:53:20z",
            "2025-10-09T08:53:20+0000",
            "2025-1-09T08:53:20Z",
            "1760000000",
            "2025-10-09T08:53:20.1234567890Z",
            "é025-10-09T08:53:20Z",
        ] {
            assert_eq!(parse(bad.as_bytes(), Unit::Iso), None, "{bad}");
        }
    }

    /// Held against jiff's calendar: first and last day of every month, of leap years and of those that are none.
    #[test]
    fn every_date_is_the_day_that_it_is() {
        use jiff::{civil::Date, tz::TimeZone};
        for year in [
            0, 1, 4, 99, 100, 400, 1600, 1899, 1900, 1969, 1970, 1999, 2000, 2001, 2004, 2100, 2400, 9998,
        ] {
            for month in 1..=12_i8 {
                let first = Date::new(year, month, 1).expect("a date");
                for date in [first, first.last_of_month()] {
                    let midnight = TimeZone::UTC
                        .to_timestamp(date.at(0, 0, 0, 0))
                        .expect("UTC has every time");
                    let days = midnight.as_second() / 86_400;
                    let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
                    assert_eq!(days_of(year, month, day), Some(days), "{date}");
                    assert_eq!(civil(days), (year, month, day), "{date}");
                }
                let beyond = i64::from(first.days_in_month()) + 1;
                assert_eq!(
                    days_of(year.into(), month.into(), beyond),
                    None,
                    "{beyond} days in {first}"
                );
            }
        }
        for (month, day) in [(0, 1), (13, 1), (1, 0), (12, 32), (99, 99)] {
            assert_eq!(days_of(2025, month, day), None, "{month} {day}");
        }
    }

    #[test]
    fn what_is_written_has_every_part_in_its_place() {
        let at = Timestamp::from_millis(1_760_000_000_007);
        assert_eq!(write(at, Unit::Iso), "2025-10-09T08:53:20.007Z");
        assert_eq!(write(Timestamp::from_millis(-1), Unit::Iso), "1969-12-31T23:59:59.999Z");
        assert_eq!(write(at, Unit::Ms), "1760000000007");
        assert_eq!(write(at, Unit::S), "1760000000");
    }

    #[test]
    fn the_window_is_closed_at_both_ends() {
        let window = Tolerance {
            past: Duration::from_mins(5),
            future: Duration::from_mins(1),
        };
        let at = Timestamp::from_secs(1000);
        for (now, outcome) in [
            (1_300_000, None),
            (1_300_999, None),
            (1_301_000, Some(301_000)),
            (940_000, None),
            (939_999, Some(-61_000)),
            (-9_000_000, Some(-10_000_000)),
        ] {
            assert_eq!(
                outside(at, Unit::S, window, Timestamp::from_millis(now)),
                outcome,
                "{now}"
            );
        }
        // To the millisecond where the time is.
        assert_eq!(
            outside(at, Unit::Ms, window, Timestamp::from_millis(1_300_001)),
            Some(300_001)
        );
        let exact = Tolerance {
            past: Duration::ZERO,
            future: Duration::ZERO,
        };
        assert_eq!(outside(at, Unit::S, exact, Timestamp::from_millis(1_000_500)), None);
        assert_eq!(outside(at, Unit::S, exact, Timestamp::from_secs(1001)), Some(1000));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0i64..4_000_000_000_000) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(parse(write(at, Unit::Iso).as_bytes(), Unit::Iso), Some(at));
            prop_assert_eq!(parse(write(at, Unit::Ms).as_bytes(), Unit::Ms), Some(at));
        }
    }
}

//! Durations and sizes as people write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};
use std::{borrow::Cow, fmt, time::Duration};

/// A duration as written: `300ms`, `5m`, `72h`, `1h30m`, or a bare number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A size as written: `25MiB`, `20kB`, or a bare number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

macro_rules! quantity {
    ($type:ident, $parse:ident, $bare:expr, $expected:literal, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct V;
                impl Visitor<'_> for V {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $parse(text).map($type).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        Ok($type($bare(number)))
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        let number = u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
                        Ok($type($bare(number)))
                    }
                }
                deserializer.deserialize_any(V)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": [{ "type": "string", "pattern": $pattern }, { "type": "integer", "minimum": 0 }] })
            }
        }
    };
}

quantity!(
    Span,
    duration,
    Duration::from_secs,
    "a duration such as `300ms`, `5m`, `72h` or `3d`",
    "^([0-9]+(ms|s|m|h|d))+$"
);
quantity!(
    Size,
    bytes,
    std::convert::identity,
    "a size such as `64KiB`, `25MiB` or `20kB`",
    "^[0-9]+(B|kB|KiB|MB|MiB|GB|GiB)$"
);

/// Splits a leading whole number off.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    digits.parse().ok().map(|number| (number, rest))
}

fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (count, after) = number(rest)?;
        let end = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at(end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(count.checked_mul(millis)?))?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

fn bytes(text: &str) -> Option<u64> {
    let (count, unit) = number(text)?;
    let factor = match unit {
        "B" => 1,
        "kB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!(duration("72h"), Some(Duration::from_hours(72)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(bytes("25MiB"), Some(25 << 20));
        for bad in ["", "5", "5 m", "-5m", "m", "5y", "99999999999999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "5", "1.5MiB", "MiB", "5mib"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}

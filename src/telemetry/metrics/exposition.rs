//! The two text formats of `/metrics`: which one a scraper wants, and how OpenMetrics text becomes Prometheus text.

/// A text format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus text 0.0.4, for every scraper that does not ask for the other.
    Prometheus,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// What an `Accept` header asks for: OpenMetrics if it is named with at least the weight of plain text.
    pub fn accepted(accept: Option<&str>) -> Self {
        let (mut open, mut plain) = (0, 0);
        for range in accept.unwrap_or("").split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("");
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1000, |q| weight(q).unwrap_or(0));
            match media {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" | "text/*" | "*/*" => plain = plain.max(weight),
                _ => {}
            }
        }
        if open > 0 && open >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The answer's `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A quality value in thousandths.
fn weight(q: &str) -> Option<u32> {
    let q: f32 = q.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value was just bounded to 0..=1000"
    )]
    (0.0..=1.0).contains(&q).then_some((q * 1000.0) as u32)
}

/// OpenMetrics names a counter's family without `_total` and an info's without `_info`; the older format knows neither
/// rule, and its parsers would show such samples without type and help.
pub(super) fn to_prometheus(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    // The help line comes before the type line that says which name it must bear.
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Exposition::*, *};

    #[test]
    fn openmetrics_only_for_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (None, Prometheus),
            (Some(""), Prometheus),
            (Some("*/*"), Prometheus),
            (Some("text/plain"), Prometheus),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some(prometheus), OpenMetrics),
            (Some("application/openmetrics-text;q=0.1, text/plain;q=0.9"), Prometheus),
            (Some("application/openmetrics-text;q=0"), Prometheus),
            (Some("application/openmetrics-text;q=NaN"), Prometheus),
            (Some("application/openmetrics-text;q=7"), Prometheus),
        ] {
            assert_eq!(Exposition::accepted(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn families_take_the_name_of_their_samples() {
        let open = "# HELP a Counts.\n# TYPE a counter\n# UNIT a s\na_total 1\n# HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # HELP c C.\n# TYPE c gauge\nc 2\n# EOF\n";
        let plain = "# HELP a_total Counts.\n# TYPE a_total counter\na_total 1\n# HELP b_info B.\n# TYPE b_info gauge\n\
                     b_info{v=\"1\"} 1\n# HELP c C.\n# TYPE c gauge\nc 2\n";
        assert_eq!(to_prometheus(open), plain);
    }
}

//! Where a request says its key or certificate is: only a place that the preset names is believed, or ever fetched.

use super::{
    evidence::Cause,
    field::{Field, Found, Scene},
};

/// A compiled rule.
pub struct KeyUrl {
    /// Where the URL stands.
    pub field: Field,
    /// Host names; `*` stands for one label.
    pub hosts: Vec<String>,
}

impl KeyUrl {
    /// Refuses a URL that is not `https`, or of another host.
    pub fn check(&self, scene: &Scene<'_>) -> Result<(), Cause> {
        let name = || self.field.name.clone();
        let text = match scene.read(&self.field) {
            Found::Text(text) => text,
            Found::Missing => return Err(Cause::FieldMissing(name())),
            Found::Doubled => return Err(Cause::FieldDoubled(name())),
        };
        let host = std::str::from_utf8(&text).ok().and_then(host);
        match host {
            Some(host) if self.hosts.iter().any(|pattern| matches(pattern, host)) => Ok(()),
            _ => Err(Cause::FieldWrong(name())),
        }
    }
}

/// The host of an `https` URL that has neither user nor port.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let whole = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (host.bytes().all(clean) && whole).then_some(host)
}

fn matches(pattern: &str, host: &str) -> bool {
    let (wanted, given) = (pattern.split('.'), host.split('.'));
    wanted.clone().count() == given.clone().count()
        && wanted
            .zip(given)
            .all(|(wanted, given)| !given.is_empty() && (wanted == "*" || wanted.eq_ignore_ascii_case(given)))
}

#[cfg(test)]
mod tests {
    use super::{host, matches};

    #[test]
    fn only_the_named_hosts_are_believed() {
        let allowed = |url: &str| host(url).is_some_and(|host| matches("sns.*.amazonaws.com", host));
        assert!(allowed("https://sns.us-west-2.amazonaws.com/Simple.pem"));
        for bad in [
            "http://sns.us-west-2.amazonaws.com/x.pem",
            "https://sns.us-west-2.amazonaws.com",
            "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.us-west-2.amazonaws.com",
            "https://sns.us-west-2.amazonaws.com:444/x",
            "https://sns.us-west-2.amazonaws.com@evil.example/x",
            "https://sns..amazonaws.com/x",
            "https://sns.a.b.amazonaws.com/x",
            "https://sns.us-west-2.amazonaws.com/x y",
            "https://sns.us-west-2.amazonaws.com\\@evil.example/",
            "",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}

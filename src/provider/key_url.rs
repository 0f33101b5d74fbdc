//! Where a provider publishes its keys: at one URL, or where a request says, which is believed for named places only.

use super::{
    evidence::Cause,
    field::{Field, Found, Scene},
};

/// The most that one `*` of a path stands for, and the longest query that is followed.
const LONGEST_PART: usize = 128;
const LONGEST_QUERY: usize = 2048;

/// A compiled rule.
pub enum KeyUrl {
    /// One URL for every request.
    Fixed(String),
    /// The request names it.
    Named(Named),
}

/// A URL in a request, and which ones are believed.
pub struct Named {
    /// Where the URL stands.
    pub field: Field,
    /// Host names; `*` stands for one label, `{region}` for one that names a region of AWS.
    hosts: Vec<String>,
    /// The path; `*` stands for a plain part of it. `None`: no key is ever fetched from there.
    path: Option<String>,
}

impl KeyUrl {
    /// The URL of the configuration or of a preset; the reason if it is not one of `https`.
    pub fn fixed(text: &str) -> Result<Self, String> {
        let url: http::Uri = text.parse().map_err(|_| "it is not a URL".to_owned())?;
        let host = url.host().unwrap_or_default();
        let plain = url
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        if url.scheme_str() != Some("https") || host.is_empty() || !plain {
            return Err(
                "it must be `https://HOST/PATH`: a key that anybody may change on its way proves nothing".to_owned(),
            );
        }
        Ok(Self::Fixed(text.to_owned()))
    }

    /// Where it stands in a request, if it does.
    pub fn field(&self) -> Option<&Field> {
        match self {
            Self::Fixed(_) => None,
            Self::Named(named) => Some(&named.field),
        }
    }

    /// Can keys be fetched from it, so that none need be pinned?
    pub fn is_fetched(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Named(named) => named.path.is_some(),
        }
    }

    /// Refuses a request that names another host than those that are believed, whether or not a key is fetched.
    pub fn believe(&self, scene: &Scene<'_>) -> Result<(), Cause> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Named(named) => named.parts(scene, |host, _| named.knows(host)).map(drop),
        }
    }

    /// The URL to fetch; a request that names another place than those is refused.
    pub fn place(&self, scene: &Scene<'_>) -> Result<String, Cause> {
        match self {
            Self::Fixed(url) => Ok(url.clone()),
            Self::Named(named) => named.place(scene),
        }
    }
}

impl Named {
    pub fn new(field: Field, hosts: &[String], path: Option<&str>) -> Self {
        Self {
            field,
            hosts: hosts.to_vec(),
            path: path.map(str::to_owned),
        }
    }

    /// The URL that the request names, if both its host and its path are believed.
    pub fn place(&self, scene: &Scene<'_>) -> Result<String, Cause> {
        self.parts(scene, |host, target| {
            self.knows(host) && self.path.as_deref().is_some_and(|shape| has_shape(shape, target))
        })
    }

    fn parts(&self, scene: &Scene<'_>, believed: impl FnOnce(&str, &str) -> bool) -> Result<String, Cause> {
        let name = || self.field.name.clone();
        let text = match scene.read(&self.field) {
            Found::Text(text) => text,
            Found::Missing => return Err(Cause::FieldMissing(name())),
            Found::Doubled => return Err(Cause::FieldDoubled(name())),
        };
        let parts = std::str::from_utf8(&text).ok().and_then(|url| Some((url, split(url)?)));
        match parts {
            Some((url, (host, target))) if believed(host, target) => Ok(url.to_owned()),
            _ => Err(Cause::FieldWrong(name())),
        }
    }

    fn knows(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| matches(pattern, host))
    }
}

/// Host and target of an `https` URL that has neither user nor port.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (host, target) = rest.split_at(rest.find('/')?);
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let whole = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (host.bytes().all(clean) && whole).then_some((host, target))
}

fn matches(pattern: &str, host: &str) -> bool {
    let (wanted, given) = (pattern.split('.'), host.split('.'));
    wanted.clone().count() == given.clone().count()
        && wanted.zip(given).all(|(wanted, given)| match wanted {
            "*" => !given.is_empty(),
            "{region}" => is_region(given),
            wanted => !given.is_empty() && wanted.eq_ignore_ascii_case(given),
        })
}

/// `us-east-1`, `us-gov-west-1`: and neither `s3` nor `s3-us-west-2`, before which anybody's bucket may stand.
fn is_region(label: &str) -> bool {
    let Some((area, number)) = label.rsplit_once('-') else {
        return false;
    };
    let word = |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let digits = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    digits && area.contains('-') && area.split('-').all(word)
}

/// Is the target of this shape? One `*` stands for a part without slashes; a shape that ends with `?` needs a query, and
/// no other takes one.
fn has_shape(shape: &str, target: &str) -> bool {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let (shape, fits) = match (shape.strip_suffix('?'), query) {
        (Some(shape), Some(query)) => (shape, query.len() <= LONGEST_QUERY && !query.contains('#')),
        (None, None) => (shape, true),
        _ => return false,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    fits && match shape.split_once('*') {
        None => path == shape,
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|part| (1..=LONGEST_PART).contains(&part.len()) && part.bytes().all(plain) && part != ".."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_hosts_are_believed() {
        let allowed = |url: &str| split(url).is_some_and(|(host, _)| matches("sns.{region}.amazonaws.com", host));
        for good in ["us-west-2", "us-gov-east-1", "ap-southeast-12", "eusc-de-east-1"] {
            assert!(allowed(&format!("https://sns.{good}.amazonaws.com/x.pem")), "{good}");
        }
        for bad in [
            "http://sns.us-west-2.amazonaws.com/x.pem",
            "https://sns.us-west-2.amazonaws.com",
            "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.us-west-2.amazonaws.com",
            "https://sns.us-west-2.amazonaws.com:444/x",
            "https://sns.us-west-2.amazonaws.com@evil.example/x",
            "https://sns..amazonaws.com/x",
            "https://sns.s3.amazonaws.com/x",
            "https://sns.s3-us-west-2.amazonaws.com/x",
            "https://sns.s3-accelerate.amazonaws.com/x",
            "https://sns.us-west-2a.amazonaws.com/x",
            "https://sns.us-west.amazonaws.com/x",
            "https://sns.a.b.amazonaws.com/x",
            "https://sns.us-west-2.amazonaws.com/x y",
            "https://sns.us-west-2.amazonaws.com\\@evil.example/",
            "",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_star_is_one_label() {
        assert!(matches("*.example.com", "a.example.com"));
        assert!(!matches("*.example.com", ".example.com") && !matches("*.example.com", "a.b.example.com"));
    }

    #[test]
    fn only_paths_of_the_named_shape_are_fetched() {
        let certificate = |path: &str| has_shape("/SimpleNotificationService-*.pem", path);
        assert!(certificate("/SimpleNotificationService-0123456789abcdef.pem"));
        let long = format!("/SimpleNotificationService-{}.pem", "a".repeat(LONGEST_PART + 1));
        for bad in [
            "/SimpleNotificationService-.pem",
            "/SimpleNotificationService-a/b.pem",
            "/SimpleNotificationService-a.pem?x=1",
            "/SimpleNotificationService-a.pem#x",
            "/SimpleNotificationService-%2e%2e.pem",
            "/x/SimpleNotificationService-a.pem",
            "/SimpleNotificationService-a.pem.evil",
            "/",
            &long,
        ] {
            assert!(!certificate(bad), "{bad}");
        }
        assert!(!has_shape("/certs/*", "/certs/.."));
        let subscribe = |target: &str| has_shape("/?", target);
        assert!(subscribe("/?Action=ConfirmSubscription&Token=0123"));
        assert!(!subscribe("/") && !subscribe("/other?Action=ConfirmSubscription") && !subscribe("/?a#b"));
        assert!(!subscribe(&format!("/?{}", "a".repeat(LONGEST_QUERY + 1))));
    }

    #[test]
    fn a_url_of_the_configuration_is_https() {
        assert!(KeyUrl::fixed("https://www.googleapis.com/oauth2/v3/certs").is_ok());
        assert!(KeyUrl::fixed("https://issuer.internal:8443/realms/x/certs").is_ok());
        for bad in [
            "http://issuer.internal/certs",
            "https://",
            "/certs",
            "https://user@issuer.internal/x",
            "issuer",
        ] {
            assert!(KeyUrl::fixed(bad).is_err(), "{bad}");
        }
    }
}

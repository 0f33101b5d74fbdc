//! Texts that some providers sign in place of the request's own bytes: sorted queries, listed headers, checksums.

use super::{
    evidence::Cause,
    field::{Found, Scene},
    form::{self, MAX_PAIRS, Pair},
    url::Form,
};
use crate::event::Frames;
use http::HeaderName;
use std::borrow::Cow;

/// More names than this in a list of signed headers is nothing a provider sends.
const MAX_LISTED: usize = 32;

/// Headers whose names travel in a header of the request itself (Contentful).
#[derive(Clone, Debug)]
pub struct Listed {
    /// The header that holds the names, separated by commas; itself always among them.
    pub list: HeaderName,
    /// Further names that must be among them: whoever could leave them out could change them.
    pub must: Vec<HeaderName>,
}

impl Listed {
    /// Reads `LIST,NAME,NAME…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = |text: &str| {
            HeaderName::from_bytes(text.trim().as_bytes()).map_err(|_| format!("`{text}` is not a header name"))
        };
        let mut names = text.split(',').map(name);
        Ok(Self {
            list: names.next().ok_or("no header name")??,
            must: names.collect::<Result<_, _>>()?,
        })
    }

    /// The shortest list that is accepted.
    pub fn names(&self) -> String {
        let names = [&self.list].into_iter().chain(&self.must).map(HeaderName::as_str);
        names.collect::<Vec<_>>().join(",")
    }

    /// `name:value` of each, sorted by name, joined by `;`.
    pub fn text(&self, scene: &Scene<'_>) -> Result<Vec<u8>, Cause> {
        let wrong = || Cause::FieldWrong(self.list.as_str().into());
        let list = one(scene, &self.list)?;
        let names = std::str::from_utf8(list).map_err(|_| wrong())?;
        let names = names
            .split(',')
            .map(|name| HeaderName::from_bytes(name.trim().as_bytes()));
        let mut names = names
            .take(MAX_LISTED + 1)
            .collect::<Result<Vec<HeaderName>, _>>()
            .map_err(|_| wrong())?;
        let all_there = self.must.iter().chain([&self.list]).all(|name| names.contains(name));
        if names.len() > MAX_LISTED || !all_there {
            return Err(wrong());
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut text = Vec::new();
        for name in &names {
            if !text.is_empty() {
                text.push(b';');
            }
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(one(scene, name)?.trim_ascii());
        }
        Ok(text)
    }
}

/// Headers whose names travel in a part of the signature's own field (Hook0's `h=`).
#[derive(Clone, Debug)]
pub struct Named {
    /// What that part begins with.
    pub part: String,
}

impl Named {
    /// The names as they stand there, a dot, and the values joined by dots.
    ///
    /// Nothing tells where the last value ends and the body begins, so a value may not hold what a JSON body begins with:
    /// else a part of the body could be moved into it.
    pub fn text(&self, scene: &Scene<'_>) -> Result<Vec<u8>, Cause> {
        let signature = scene
            .signature
            .ok_or_else(|| Cause::FieldMissing(self.part.as_str().into()))?;
        let wrong = || Cause::FieldWrong(self.part.as_str().into());
        let list = match signature.part(scene, &self.part) {
            Found::Text(text) => text,
            Found::Missing => return Err(Cause::FieldMissing(self.part.as_str().into())),
            Found::Doubled => return Err(Cause::FieldDoubled(self.part.as_str().into())),
        };
        let mut text = list.to_vec();
        for (index, name) in list.split(|byte| *byte == b' ').enumerate() {
            let name = HeaderName::from_lowercase(name).map_err(|_| wrong())?;
            if index == MAX_LISTED {
                return Err(wrong());
            }
            let value = one(scene, &name)?;
            if value.iter().any(|byte| matches!(byte, b'{' | b'[')) {
                return Err(Cause::FieldWrong(name.as_str().into()));
            }
            text.push(b'.');
            text.extend_from_slice(value);
        }
        Ok(text)
    }
}

/// A header that must be there exactly once.
fn one<'a>(scene: &Scene<'a>, name: &HeaderName) -> Result<&'a [u8], Cause> {
    let mut values = scene.head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes()),
        (None, _) => Err(Cause::FieldMissing(name.as_str().into())),
        (Some(_), Some(_)) => Err(Cause::FieldDoubled(name.as_str().into())),
    }
}

/// CRC-32 (IEEE 802.3) of the body in decimal (`PayPal`).
pub fn crc32(body: Option<&Frames>) -> String {
    let mut crc = crc32fast::Hasher::new();
    body.into_iter()
        .flat_map(Frames::iter)
        .for_each(|frame| crc.update(frame));
    crc.finalize().to_string()
}

/// The raw target as Contentful's SDK rewrites it: the query escaped as one value, then path and query once more as a whole,
/// so that the `%` of every escape becomes `%25`.
pub fn target_escaped(scene: &Scene<'_>) -> String {
    // What JavaScript's `querystring.escape` and `encodeURI` keep.
    const VALUE: &[u8] = b"-_.!~*'()";
    const WHOLE: &[u8] = b"-_.!~*'();,/?:@&=+$#";
    let mut once = scene.head.uri.path().to_owned();
    if let Some(query) = scene.head.uri.query().filter(|query| !query.is_empty()) {
        once.push('?');
        // JavaScript's `split('?')` leaves everything behind a second one out.
        escape(query.split('?').next().unwrap_or_default().as_bytes(), VALUE, &mut once);
    }
    let mut twice = String::with_capacity(once.len());
    escape(once.as_bytes(), WHOLE, &mut twice);
    twice
}

/// The URL, its query sorted, and the form sorted, with the separators that there are only beside one another (Plivo V3).
pub fn url_query_form(scene: &Scene<'_>) -> Result<Vec<u8>, Cause> {
    let base = scene.base.ok_or_else(|| Cause::FieldMissing("public_url".into()))?;
    let mut text = base.of(scene.target(), Form::WithoutQuery).into_bytes();
    let query = sorted(scene.head.uri.query().unwrap_or_default().as_bytes())?;
    let form = sorted(
        scene
            .form
            .filter(|_| form::is_form(&scene.head.headers))
            .unwrap_or_default(),
    )?;
    if !query.is_empty() || !form.is_empty() {
        text.push(b'?');
    }
    for (index, (name, value)) in query.iter().enumerate() {
        if index > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
    if !query.is_empty() && !form.is_empty() {
        text.push(b'.');
    }
    for (name, value) in &form {
        text.extend_from_slice(name);
        text.extend_from_slice(value);
    }
    Ok(text)
}

fn sorted(raw: &[u8]) -> Result<Vec<Pair<'_>>, Cause> {
    let mut pairs: Vec<Pair<'_>> = form::pairs(raw).take(MAX_PAIRS + 1).collect();
    if pairs.len() > MAX_PAIRS {
        return Err(Cause::FormTooLong);
    }
    pairs.sort();
    Ok(pairs)
}

/// `METHOD&path&query`: the query without `jwt`, names sorted, the values of one name joined by commas (Atlassian's
/// "query string hash").
pub fn request(scene: &Scene<'_>) -> Result<String, Cause> {
    // RFC 3986, section 2.3.
    const KEPT: &[u8] = b"-_.~";
    let path = scene.head.uri.path();
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let mut text = format!("{}&{}&", scene.head.method, path.replace('&', "%26"));
    let query = scene.head.uri.query().unwrap_or_default().as_bytes();
    let mut pairs: Vec<(String, String)> = Vec::new();
    // The token is not counted: one more parameter behind as many as are read would be left out, and so not be signed.
    let signed = form::pairs(query).filter(|pair| *pair.0 != *b"jwt");
    for (name, value) in signed.take(MAX_PAIRS + 1) {
        let escaped = |bytes: Cow<'_, [u8]>| {
            let mut text = String::new();
            escape(&bytes, KEPT, &mut text);
            text
        };
        pairs.push((escaped(name), escaped(value)));
    }
    if pairs.len() > MAX_PAIRS {
        return Err(Cause::FormTooLong);
    }
    pairs.sort();
    let mut last: Option<&str> = None;
    for (name, value) in &pairs {
        if last == Some(name.as_str()) {
            text.push(',');
        } else {
            if last.is_some() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            last = Some(name);
        }
        text.push_str(value);
    }
    Ok(text)
}

/// Escapes every byte but letters, digits and those in `kept`.
pub fn escape(bytes: &[u8], kept: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::url::PublicUrl;
    use http::request::Parts;

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_crc_is_the_one_of_zip_and_ethernet() {
        let mut body = Frames::default();
        body.push("1234".into());
        body.push("56789".into());
        assert_eq!(crc32(Some(&body)), 0xCBF4_3926_u32.to_string());
        assert_eq!(crc32(None), "0");
    }

    #[test]
    fn a_canonical_request_sorts_joins_and_escapes() {
        let long = head("POST", "/a&b/?b=2&a=x%20y&a=1&jwt=zzz&c=*", &[]);
        let scene = Scene::of_head(&long, None, None);
        assert_eq!(request(&scene), Ok("POST&/a%26b&a=1,x%20y&b=2&c=%2A".to_owned()));
        let root = head("GET", "/", &[]);
        assert_eq!(request(&Scene::of_head(&root, None, None)), Ok("GET&/&".to_owned()));
    }

    #[test]
    fn of_more_parameters_than_are_read_none_is_signed() {
        let query = |count: usize| (0..count).map(|_| "a=1".to_owned()).collect::<Vec<_>>().join("&");
        let of = |query: &str| {
            let long = head("POST", &format!("/p?{query}"), &[]);
            request(&Scene::of_head(&long, None, None)).map(|text| text.matches('1').count())
        };
        assert_eq!(of(&query(MAX_PAIRS)), Ok(MAX_PAIRS));
        assert_eq!(of(&query(MAX_PAIRS + 1)), Err(Cause::FormTooLong));
        assert_eq!(of(&format!("jwt=x&{}", query(MAX_PAIRS))), Ok(MAX_PAIRS));
        assert_eq!(of(&format!("jwt=x&{}", query(MAX_PAIRS + 1))), Err(Cause::FormTooLong));
        let base = PublicUrl::parse("https://h.test").expect("a URL");
        let of = |query: &str| {
            let long = head("POST", &format!("/p?{query}"), &[]);
            url_query_form(&Scene::of_head(&long, Some(&base), None)).is_ok()
        };
        assert!(of(&query(MAX_PAIRS)) && !of(&query(MAX_PAIRS + 1)));
    }

    #[test]
    fn a_target_is_escaped_as_javascript_does_it() {
        let head = head("POST", "/a%20b/c?space=1&x=*", &[]);
        let text = target_escaped(&Scene::of_head(&head, None, None));
        assert_eq!(text, "/a%2520b/c?space%253D1%2526x%253D*");
    }

    #[test]
    fn a_url_with_query_and_form_has_separators_only_between_them() {
        let base = PublicUrl::parse("https://h.test").expect("a URL");
        let text = |target: &str, form: &str| {
            let head = head("POST", target, &[("content-type", "application/x-www-form-urlencoded")]);
            let scene = Scene {
                form: Some(form.as_bytes()),
                ..Scene::of_head(&head, Some(&base), None)
            };
            String::from_utf8(url_query_form(&scene).expect("short")).expect("text")
        };
        assert_eq!(text("/p", ""), "https://h.test/p");
        assert_eq!(text("/p?b=2&a=1", ""), "https://h.test/p?a=1&b=2");
        assert_eq!(text("/p", "To=2&From=1"), "https://h.test/p?From1To2");
        assert_eq!(text("/p?b=2", "x=1"), "https://h.test/p?b=2.x1");
    }

    #[test]
    fn a_list_of_signed_headers_must_name_itself_and_what_matters() {
        let listed = Listed::parse("x-list,x-time").expect("names");
        let text = |headers: &[(&str, &str)]| {
            let head = head("POST", "/", headers);
            listed.text(&Scene::of_head(&head, None, None))
        };
        let good = [("x-list", "x-time,x-list,x-a"), ("x-a", " 1 "), ("x-time", "5")];
        assert_eq!(text(&good), Ok(b"x-a:1;x-list:x-time,x-list,x-a;x-time:5".to_vec()));
        for bad in [
            &[("x-list", "x-time,x-a"), ("x-a", "1"), ("x-time", "5")][..],
            &[("x-list", "x-list,x-a"), ("x-a", "1"), ("x-time", "5")],
            &[("x-list", "x-list,x-time,x-gone"), ("x-time", "5")],
            &[("x-list", "x-list,x-time"), ("x-time", "5"), ("x-time", "6")],
            &[("x-time", "5")],
        ] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
        let most = format!("x-list,x-time{}", ",x-a".repeat(MAX_LISTED - 2));
        assert!(text(&[("x-list", &most), ("x-a", "1"), ("x-time", "5")]).is_ok());
        let many = format!("{most},x-a");
        assert!(text(&[("x-list", &many), ("x-a", "1"), ("x-time", "5")]).is_err());
    }
}

//! The gate: what a request's head alone says about whether it may come in (framing, target, Host, header limits).
//!
//! hyper parses, it does not police: it hands over absolute-form targets, two Hosts, `gzip, chunked` and CONNECT as if
//! they were ordinary requests. What it hides from us (a Content-Length beside chunked, equal lengths) it has already
//! reframed as RFC 9112 says, so that nothing of it can be smuggled on.

mod host;
mod target;
#[cfg(test)]
mod tests;

use http::{HeaderMap, Method, StatusCode, Version, header, request::Parts};

/// Most header fields of one request.
pub const MAX_HEADERS: usize = 100;
/// Most bytes of all header lines of one request.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most bytes of a request target; the connection answers 414 to a longer one (`http::Uri` cannot even hold it).
pub const MAX_TARGET_BYTES: usize = 64 * 1024;

/// Why the gate refused a request. After every one of these the connection is closed (HTTP/1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum GateRefusal {
    /// Neither HTTP/1.0, 1.1 nor 2.
    #[error("HTTP version")]
    Version,
    /// A method with other characters than letters, digits, `-` and `_`.
    #[error("characters in the method")]
    MethodCharacters,
    /// CONNECT, TRACE or `OPTIONS *`: nothing here is a tunnel or a server to be asked about itself.
    #[error("method of a tunnel or of the server as a whole")]
    Method,
    /// A target in authority form, `*`, or in absolute form for another authority than `Host` names.
    #[error("form of the target")]
    TargetForm,
    /// A path with dot segments, empty segments, a backslash, encoded separators or unreserved characters, or raw bytes
    /// that have to be encoded.
    #[error("bytes of the target")]
    TargetBytes,
    /// A fragment: no client sends one (RFC 9110, section 7.1), and parsers disagree on where the target ends.
    #[error("fragment in the target")]
    TargetFragment,
    /// No Host where one is needed.
    #[error("no Host")]
    HostMissing,
    /// Two Hosts, or a Host that contradicts `:authority`.
    #[error("two Hosts")]
    HostDoubled,
    /// A Host that is not `host[:port]`.
    #[error("grammar of Host")]
    HostMalformed,
    /// A well-formed Host that is not ours.
    #[error("foreign Host")]
    HostForeign,
    /// More than [`MAX_HEADERS`] header fields.
    #[error("number of headers")]
    TooManyHeaders,
    /// More than [`MAX_HEADER_BYTES`] of header fields.
    #[error("bytes of headers")]
    HeadersTooLarge,
    /// A Transfer-Encoding that is not a list of codings, stands twice, or stands beside Content-Length.
    #[error("Transfer-Encoding")]
    TransferEncoding,
    /// A coding before `chunked`: it would be lost on the way to the app.
    #[error("coding before chunked")]
    UnsupportedCoding,
    /// Content-Length twice.
    #[error("Content-Length")]
    ContentLength,
    /// HTTP/1.0 with a method that has a body, but no Content-Length: where the body ends is not known.
    #[error("no Content-Length in HTTP/1.0")]
    LengthRequired,
    /// An Expect other than `100-continue`.
    #[error("Expect")]
    Expectation,
}

impl GateRefusal {
    /// The status that HTTP has for it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version
            | Self::MethodCharacters
            | Self::TargetForm
            | Self::TargetBytes
            | Self::TargetFragment
            | Self::HostMissing
            | Self::HostDoubled
            | Self::HostMalformed
            | Self::TransferEncoding
            | Self::ContentLength => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HostForeign => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyHeaders | Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedCoding => StatusCode::NOT_IMPLEMENTED,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }

    /// The exact cause in a few words, for operators only; it never quotes the request.
    pub fn reason(self) -> String {
        self.to_string()
    }
}

/// Judges a parsed head. `serves_host` gets a lower-case host without port, brackets or trailing dot and says whether it
/// is ours; it is asked once, when the Host is known to be well formed, with `""` for HTTP/1.0 without one.
pub fn judge(head: &Parts, serves_host: impl FnOnce(&str) -> bool) -> Result<(), GateRefusal> {
    version_and_method(head)?;
    target::judge(head)?;
    header_limits(&head.headers)?;
    host::judge(head, serves_host)?;
    framing(head)?;
    expectation(&head.headers)
}

/// Gives a head in absolute form, which [`judge`] let in, the origin form in which it is routed, verified and forwarded
/// (RFC 9112, section 3.2.2).
pub fn to_origin_form(head: &mut Parts) {
    if head.version == Version::HTTP_2 || head.uri.authority().is_none() {
        return;
    }
    if let Some(target) = head.uri.path_and_query().cloned() {
        head.uri = target.into();
    }
}

fn version_and_method(head: &Parts) -> Result<(), GateRefusal> {
    if !matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err(GateRefusal::Version);
    }
    match &head.method {
        &Method::CONNECT | &Method::TRACE => Err(GateRefusal::Method),
        &Method::OPTIONS if head.uri.path() == "*" => Err(GateRefusal::Method),
        // HTTP's own grammar also allows `!#$%&'*+.^`|~` in a method; no method has them, and parsers disagree on them.
        other if other.as_str().bytes().all(is_method_byte) => Ok(()),
        _ => Err(GateRefusal::MethodCharacters),
    }
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn header_limits(headers: &HeaderMap) -> Result<(), GateRefusal> {
    if headers.len() > MAX_HEADERS {
        return Err(GateRefusal::TooManyHeaders);
    }
    let line = |(name, value): (&header::HeaderName, &header::HeaderValue)| name.as_str().len() + value.len() + 4;
    if headers.iter().map(line).sum::<usize>() > MAX_HEADER_BYTES {
        return Err(GateRefusal::HeadersTooLarge);
    }
    Ok(())
}

fn framing(head: &Parts) -> Result<(), GateRefusal> {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() {
        return Err(GateRefusal::TransferEncoding);
    }
    if lengths.next().is_some() {
        return Err(GateRefusal::ContentLength);
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(GateRefusal::TransferEncoding),
        (Some(coding), None) => transfer_encoding(head.version, coding.as_bytes()),
        (None, None) if head.version == Version::HTTP_10 && has_body(&head.method) => Err(GateRefusal::LengthRequired),
        (None, _) => Ok(()),
    }
}

/// Do requests of this method come with a body (RFC 9110, section 9.3)?
fn has_body(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

fn transfer_encoding(version: Version, value: &[u8]) -> Result<(), GateRefusal> {
    if version != Version::HTTP_11 {
        return Err(GateRefusal::TransferEncoding);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<&[u8]> = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunked_last_and_once =
        codings.last().is_some_and(is_chunked) && codings.iter().filter(|coding| is_chunked(coding)).count() == 1;
    let all_tokens = codings
        .iter()
        .all(|coding| !coding.is_empty() && coding.iter().copied().all(is_token_byte));
    if chunked_last_and_once && all_tokens && codings.len() > 1 {
        Err(GateRefusal::UnsupportedCoding)
    } else {
        Err(GateRefusal::TransferEncoding)
    }
}

/// `tchar` of RFC 9110.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn expectation(headers: &HeaderMap) -> Result<(), GateRefusal> {
    let mut expects = headers.get_all(header::EXPECT).iter();
    match (expects.next(), expects.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(GateRefusal::Expectation),
    }
}

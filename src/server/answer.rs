//! An answer as HTTP/1.1 bytes, for the moments when there is no request that hyper could answer.

use bytes::Bytes;
use http::{Response, header};
use http_body::Body;
use http_body_util::Full;
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Status line, headers, `Connection: close`, `Content-Length` and the body.
pub(super) fn render(answer: Response<Full<Bytes>>) -> Vec<u8> {
    let (head, mut body) = answer.into_parts();
    let mut cx = Context::from_waker(Waker::noop());
    let body = match Pin::new(&mut body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    };
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_str()).into_bytes();
    for (name, value) in &head.headers {
        if matches!(
            *name,
            header::CONNECTION | header::CONTENT_LENGTH | header::TRANSFER_ENCODING
        ) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_framed_by_us_alone() {
        let answer = Response::builder()
            .status(408)
            .header("content-type", "text/plain")
            .header("content-length", "99")
            .header("connection", "keep-alive")
            .body(Full::new(Bytes::from_static(b"slow")))
            .expect("a response");
        assert_eq!(
            String::from_utf8(render(answer)).expect("ASCII"),
            "HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 4\r\n\r\nslow"
        );
    }
}

//! A destination's answer, read within bounds and freed of what is not for the sender.

use super::{
    Reply,
    headers::{folded, is_hop_by_hop, is_ours, named_by_connection},
};
use crate::event::Frames;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::pin::Pin;
use tokio::time::Sleep;

/// The longest body that is handed through.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Why a head is not an answer, for operators.
pub(super) fn broken_head(response: &Response<Incoming>) -> Option<&'static str> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Some("it switched protocols without being asked");
    }
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    if response.headers().contains_key(header::CONTENT_LENGTH) {
        return Some("both Content-Length and Transfer-Encoding");
    }
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    // A coding besides would have to be undone: the sender was not told of it.
    (!chunked).then_some("a transfer coding other than chunked")
}

/// Reads an answer whose head has come. From here on its status stands: what goes wrong with the body, the end of the
/// time included, only shows in the reply.
///
/// True beside it if the body was read to its end, so that the connection may serve again.
pub(super) async fn read(response: Response<Incoming>, mut deadline: Pin<&mut Sleep>) -> (Reply, bool) {
    let (head, mut incoming) = response.into_parts();
    let mut reply = Reply {
        status: head.status,
        headers: filtered(head.headers),
        body: bytes::Bytes::new(),
        cut: false,
        broken: false,
    };
    let mut body = Frames::default();
    loop {
        let frame = tokio::select! {
            biased;
            frame = incoming.frame() => frame,
            () = &mut deadline => {
                reply.broken = true;
                break;
            }
        };
        match frame {
            None => break,
            Some(Err(_)) => {
                reply.broken = true;
                break;
            }
            Some(Ok(frame)) => {
                // Trailers are dropped.
                let Ok(mut data) = frame.into_data() else { continue };
                let room = MAX_BODY - body.len();
                if data.len() > room {
                    data.truncate(room);
                    reply.cut = true;
                }
                body.push(data);
                if reply.cut {
                    break;
                }
            }
        }
    }
    let whole = !reply.broken && !reply.cut;
    reply.body = body.joined();
    (reply, whole)
}

fn filtered(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<Vec<u8>> = named_by_connection(&headers).into_iter().map(<[u8]>::to_vec).collect();
    let is_withheld = |name: &HeaderName| {
        let text = &*folded(name);
        is_hop_by_hop(text)
            || is_ours(text)
            || matches!(text, "content-length" | "set-cookie" | "server" | "x-powered-by")
            || named
                .iter()
                .any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    // What is left is neither copied nor hashed again.
    while let Some(name) = headers.keys().find(|name| is_withheld(name)).cloned() {
        headers.remove(name);
    }
    headers
}

//! `GET /api/v1/tail`: requests as they end, as server-sent events. A slow reader misses some, and is told how many.

use super::{
    answer::{self, Answer, Refusal},
    listener::Lease,
    recent::Filter,
};
use crate::telemetry::Recent;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Readers at a time.
pub(super) const READERS: usize = 16;

/// How often a reader looks for news: soon enough for an eye, and no request ever has to wake anybody.
const LOOK: Duration = Duration::from_millis(50);

/// After so many looks without news a comment shows that the connection is alive: every 15 s.
const BEAT: u32 = 300;

/// Lines in one piece of the answer.
const PIECE: usize = 64;

struct Reader {
    recent: Recent,
    filter: Filter,
    number: u64,
    lease: Lease,
    stop: CancellationToken,
    greeted: bool,
    // Gives the place back when the reader has gone.
    _place: OwnedSemaphorePermit,
}

/// The stream from now on, or from behind the `Last-Event-ID` of a reader who was here before.
pub(super) fn tail(
    recent: &Recent,
    filter: Filter,
    headers: &HeaderMap,
    (readers, lease, stop): (&Arc<Semaphore>, Lease, CancellationToken),
) -> Result<Answer, Refusal> {
    let place = readers.clone().try_acquire_owned().map_err(|_| {
        let text = format!("{READERS} readers are here already");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let last = recent.last();
    let resumed = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok())
        .filter(|id| *id <= last);
    let reader = Reader {
        recent: recent.clone(),
        filter,
        number: resumed.unwrap_or(last),
        lease,
        stop,
        greeted: false,
        _place: place,
    };
    let pieces = stream::unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), reader))
    });
    let body = StreamBody::new(pieces).boxed_unsync();
    Ok(answer::with_body(StatusCode::OK, "text/event-stream", body))
}

impl Reader {
    /// The next piece; asked for only when the one before has left for the client.
    async fn next(&mut self) -> Option<Bytes> {
        self.lease.renew();
        if !std::mem::replace(&mut self.greeted, true) {
            // So that the head of the answer leaves at once.
            return Some(Bytes::from_static(b": requests as they end\n\n"));
        }
        for _ in 0..BEAT {
            if let Some(piece) = self.news() {
                return Some(piece.into());
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(LOOK) => {}
            }
        }
        Some(Bytes::from_static(b": still here\n\n"))
    }

    fn news(&mut self) -> Option<String> {
        let after = self.recent.after(self.number, PIECE);
        self.number = after.upto;
        let mut piece = String::new();
        if after.lost > 0 {
            let lost = after.lost;
            writeln!(piece, "event: lost\ndata: {{\"lost\":{lost}}}\n").expect("writing to a String cannot fail");
        }
        for kept in &after.kept {
            if let Some(line) = self.filter.pick(kept) {
                let number = kept.number;
                writeln!(piece, "id: {number}\ndata: {line}\n").expect("writing to a String cannot fail");
            }
        }
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Shelf;

    fn reader(recent: &Recent, query: &str) -> Reader {
        let places = Arc::new(Semaphore::new(1));
        Reader {
            recent: recent.clone(),
            filter: Filter::parse(query, |name| name == "a").expect("a filter"),
            number: 0,
            lease: Lease::default(),
            stop: CancellationToken::new(),
            greeted: false,
            _place: places.try_acquire_owned().expect("a place"),
        }
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed() {
        let recent = Recent::new(400);
        let mut reader = reader(&recent, "source=a");
        assert_eq!(reader.news(), None);
        for number in 0..100 {
            let source = if number % 2 == 0 { "a" } else { "b" };
            recent.push(Shelf::Deliveries, format!("{{\"source\":\"{source}\"}}").as_bytes());
        }
        let piece = reader.news().expect("news");
        let kept = recent.after(0, 1000);
        assert!(kept.lost > 50, "{}", kept.lost);
        let (lost, rest) = piece.split_once("\n\n").expect("two events");
        assert_eq!(lost, format!("event: lost\ndata: {{\"lost\":{}}}", kept.lost));
        assert_eq!(rest.matches("\ndata: {\"source\":\"a\"").count(), kept.kept.len() / 2);
        assert!(!rest.contains("\"b\"") && rest.ends_with("\n\n"));
        assert_eq!(reader.news(), None);
    }

    #[tokio::test]
    async fn the_stream_begins_at_once_and_ends_with_the_sidecar() {
        let recent = Recent::new(400);
        let mut reader = reader(&recent, "");
        assert!(reader.next().await.expect("a greeting").starts_with(b": "));
        assert!(reader.lease.clone().was_renewed());
        recent.push(Shelf::Refused, b"{}");
        let piece = reader.next().await.expect("news");
        assert!(piece.starts_with(b"id: 1\ndata: {"), "{piece:?}");
        reader.stop.cancel();
        assert_eq!(reader.next().await, None);
    }
}

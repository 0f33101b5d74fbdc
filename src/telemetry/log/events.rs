//! `tracing` events as lines of the same log: a subscriber that keeps no spans.

use super::{Level, Log, line::Line};
use std::fmt;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Sends `tracing` events to the log. Spans are not recorded: what a request's line must say is in its record.
pub struct Events {
    log: Log,
}

impl Events {
    pub(super) fn new(log: Log) -> Self {
        Self { log }
    }
}

/// Our own events count from the log's level on, those of libraries only if something is wrong.
fn level_of(metadata: &Metadata<'_>) -> Option<Level> {
    let level = match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    };
    let ours = metadata.target().split("::").next() == Some(env!("CARGO_PKG_NAME"));
    (ours || level <= Level::Warn).then_some(level)
}

impl Subscriber for Events {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // Asked each time, because the level may change while the process runs.
        if metadata.is_event() && level_of(metadata).is_some() {
            tracing::subscriber::Interest::sometimes()
        } else {
            tracing::subscriber::Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && level_of(metadata).is_some_and(|level| self.log.enabled(level))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let Some(level) = level_of(event.metadata()) else {
            return;
        };
        let mut message = Message::default();
        event.record(&mut message);
        self.log.write(self.log.0.clock.wall(), level, &message.0, |line| {
            event.record(&mut Fields { line });
        });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

const MESSAGE: &str = "message";

/// Picks the text of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.0 = format!("{value:?}");
        }
    }
}

/// Writes all other fields of an event.
struct Fields<'a, 'b> {
    line: &'a mut Line<'b>,
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.line.display(field.name(), &format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != MESSAGE {
            self.line.text(field.name(), value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.line.number(field.name(), format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.line.number(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.line.number(field.name(), format_args!("{value}"));
    }
}

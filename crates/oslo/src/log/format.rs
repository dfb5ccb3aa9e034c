//! One record in print.

use std::fmt;

use chrono::Local;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::context::Ids;

/// The form of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Format {
    /// `2026-01-02 03:04:05.678 PID LEVEL target [global-req req operation] message key=value`,
    /// local time, as oslo.log's `logging_context_format_string`.
    Line,
    /// One JSON object per line, with the keys of oslo.log's JSON formatter.
    Json,
}

/// A record's own fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn note(&mut self, field: &Field, value: Value) {
        if is_secret(field.name()) {
            self.others.push((field.name(), Value::from("***")));
        } else if field.name() == "message" {
            self.message = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
        } else {
            self.others.push((field.name(), value));
        }
    }
}

/// A second fence behind `SecretString`: names under which secrets travel in OpenStack.
fn is_secret(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "password",
        "token",
        "secret",
        "api_key",
        "private_key",
        "credential",
        "authorization",
        "transport_url",
    ];
    let name = name.to_lowercase();
    NAMES.iter().any(|secret| name.contains(secret))
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.note(field, Value::from(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, Value::from(format!("{value:?}")));
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let ids = Ids::around(context.event_scope());
        let mut fields = Fields::default();
        event.record(&mut fields);
        match self {
            Self::Line => line(writer, event, &ids, &fields),
            Self::Json => json(writer, event, ids, fields),
        }
    }
}

/// Python's name of a level; oslo has nothing below DEBUG.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

fn line(mut writer: Writer<'_>, event: &Event<'_>, ids: &Ids, fields: &Fields) -> fmt::Result {
    let shown = |id: &Option<String>| on_one_line(id.as_deref().unwrap_or("-"));
    write!(
        writer,
        "{} {} {} {} [",
        Local::now().format("%Y-%m-%d %H:%M:%S%.3f"),
        std::process::id(),
        level_name(*event.metadata().level()),
        event.metadata().target(),
    )?;
    if ids.global_request_id.is_some() {
        write!(writer, "{} ", shown(&ids.global_request_id))?;
    }
    write!(
        writer,
        "{} {}]",
        shown(&ids.request_id),
        shown(&ids.operation_id)
    )?;
    if !fields.message.is_empty() {
        write!(writer, " {}", on_one_line(&fields.message))?;
    }
    for (name, value) in &fields.others {
        write!(writer, " {name}={}", field_value(value))?;
    }
    writeln!(writer)
}

/// Quotes a text that would otherwise not read as one word.
fn field_value(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
            format!("\"{}\"", on_one_line(&text.replace('"', "\\\"")))
        }
        Value::String(text) => on_one_line(text),
        other => other.to_string(),
    }
}

/// Turns the text around it, or ends the line, on a terminal that knows Unicode.
fn is_turning(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A cloud's error text must not be able to forge a log line.
fn on_one_line(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, c| {
            if c.is_control() || is_turning(c) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
            line
        })
}

fn json(mut writer: Writer<'_>, event: &Event<'_>, ids: Ids, fields: Fields) -> fmt::Result {
    let mut record = Map::new();
    let mut put = |key: &str, value: Value| record.insert(key.to_owned(), value);
    put(
        "timestamp",
        Value::from(Local::now().format("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()),
    );
    put(
        "levelname",
        Value::from(level_name(*event.metadata().level())),
    );
    put("name", Value::from(event.metadata().target()));
    put("process", Value::from(std::process::id()));
    put("message", Value::from(fields.message));
    put("global_request_id", Value::from(ids.global_request_id));
    put("request_id", Value::from(ids.request_id));
    put("operation_id", Value::from(ids.operation_id));
    let extra: Map<String, Value> = fields
        .others
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    put("extra", Value::Object(extra));
    let text = serde_json::to_string(&record).map_err(|_| fmt::Error)?;
    writeln!(writer, "{text}")
}

//! The ids that a record's brackets show, collected from the spans around it.

use std::fmt;

use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope},
};

/// Ids of one span, or of all spans around a record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub global_request_id: Option<String>,
    pub request_id: Option<String>,
    pub operation_id: Option<String>,
}

impl Ids {
    /// The ids of a record: the innermost span that names one wins.
    pub fn around<'a, S>(scope: Option<Scope<'a, S>>) -> Self
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let mut ids = Self::default();
        for span in scope.into_iter().flatten() {
            if let Some(own) = span.extensions().get::<Self>() {
                ids.fill_from(own);
            }
        }
        ids
    }

    fn fill_from(&mut self, outer: &Self) {
        let fill = |own: &mut Option<String>, outer: &Option<String>| {
            if own.is_none() {
                own.clone_from(outer);
            }
        };
        fill(&mut self.global_request_id, &outer.global_request_id);
        fill(&mut self.request_id, &outer.request_id);
        fill(&mut self.operation_id, &outer.operation_id);
    }

    fn note(&mut self, field: &Field, value: String) {
        let slot = match field.name() {
            "global_request_id" => &mut self.global_request_id,
            "request_id" => &mut self.request_id,
            "operation_id" | "operation" => &mut self.operation_id,
            _ => return,
        };
        *slot = Some(value);
    }
}

impl Visit for Ids {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }
}

/// The layer that keeps each span's ids beside it.
pub(super) struct SpanContext;

impl<S> Layer<S> for SpanContext
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut ids = Ids::default();
            attributes.record(&mut ids);
            span.extensions_mut().insert(ids);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(ids) = span.extensions_mut().get_mut::<Ids>()
        {
            values.record(ids);
        }
    }
}

//! Answers as typed values, and lists read to their last page.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    ask::Ask,
    error::{Call, CloudError},
    session::Session,
};

/// How often a list is begun anew because the element that marks a page went away meanwhile.
const RESTARTS: usize = 3;

impl Session {
    /// Sends and expects nothing but success.
    pub(crate) async fn done(&self, ask: Ask) -> Result<(), CloudError> {
        self.send(&ask).await.map(|_| ())
    }

    /// Sends and gives the whole JSON answer.
    pub(crate) async fn value(&self, mut ask: Ask) -> Result<Value, CloudError> {
        ask.wants_json = true;
        let answer = self.send(&ask).await?;
        serde_json::from_slice(&answer.body).map_err(|error| unexpected(&ask.call, error))
    }

    /// Sends and reads the value below the answer's key `key`.
    pub(crate) async fn object<T: DeserializeOwned>(
        &self,
        ask: Ask,
        key: &str,
    ) -> Result<T, CloudError> {
        let call = ask.call.clone();
        let mut answer = self.value(ask).await?;
        let inner = answer.get_mut(key).map(Value::take);
        let inner = inner.ok_or_else(|| unexpected(&call, format!("missing field `{key}`")))?;
        serde_json::from_value(inner).map_err(|error| unexpected(&call, error))
    }

    /// Reads a list that comes in one piece.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        ask: Ask,
        key: &str,
    ) -> Result<Vec<T>, CloudError> {
        let call = ask.call.clone();
        let rows: Vec<Value> = self.object(ask, key).await?;
        rows.into_iter().map(|row| element(&call, row)).collect()
    }

    /// Reads a list to its last page, with `limit` and `marker`. An element that is missing in the result was not
    /// there when its page was read.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        ask: Ask,
        key: &str,
    ) -> Result<Vec<T>, CloudError> {
        let mut restarts = 0;
        loop {
            match self.pages_once(&ask, key).await {
                Err(PageError::MarkerGone(_)) if restarts < RESTARTS => restarts += 1,
                Err(PageError::MarkerGone(error) | PageError::Other(error)) => return Err(error),
                Ok(rows) => {
                    return rows
                        .into_iter()
                        .map(|row| element(&ask.call, row))
                        .collect();
                }
            }
        }
    }

    async fn pages_once(&self, ask: &Ask, key: &str) -> Result<Vec<Value>, PageError> {
        let mut rows: Vec<Value> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut marker: Option<String> = None;
        loop {
            let page = ask
                .clone()
                .query("limit", self.page_size().to_string())
                .query_if("marker", marker.as_deref());
            let mut answer = self
                .value(page)
                .await
                .map_err(|error| PageError::of(error, marker.is_some()))?;
            let Some(Value::Array(found)) = answer.get_mut(key).map(Value::take) else {
                return Err(PageError::Other(unexpected(
                    &ask.call,
                    format!("missing list `{key}`"),
                )));
            };
            let linked = says_there_is_more(&answer, key);
            let more = linked || found.len() >= self.page_size();
            let (known_before, empty) = (seen.len(), found.is_empty());
            for row in found {
                let id = row.get("id").and_then(Value::as_str).map(str::to_owned);
                let id = id.ok_or_else(|| {
                    PageError::Other(unexpected(&ask.call, "an element without an id"))
                })?;
                marker = Some(id.clone());
                if seen.insert(id) {
                    rows.push(row);
                }
            }
            let stuck = seen.len() == known_before;
            // A link to more that leads back would go on for ever, and what is missing would look absent.
            if linked && stuck && !empty {
                return Err(PageError::Other(unexpected(
                    &ask.call,
                    "the list's next page repeats what was read",
                )));
            }
            if !more || stuck {
                return Ok(rows);
            }
        }
    }
}

enum PageError {
    /// The element that ended the last page is gone, so the next page cannot be found.
    MarkerGone(CloudError),
    Other(CloudError),
}

impl PageError {
    fn of(error: CloudError, with_marker: bool) -> Self {
        let lost = matches!(error.status(), Some(400 | 404))
            && error
                .message()
                .is_some_and(|message| message.to_ascii_lowercase().contains("marker"));
        if with_marker && lost {
            Self::MarkerGone(error)
        } else {
            Self::Other(error)
        }
    }
}

/// `servers_links: [{"rel": "next"}]` (Nova, Cinder, Neutron), `next` (Glance), `links.next` (Keystone).
fn says_there_is_more(answer: &Value, key: &str) -> bool {
    let links = answer.get(format!("{key}_links")).and_then(Value::as_array);
    let by_link = links.is_some_and(|links| {
        links
            .iter()
            .any(|link| link.get("rel").is_some_and(|rel| rel == "next"))
    });
    let by_path = |value: Option<&Value>| value.is_some_and(Value::is_string);
    by_link || by_path(answer.get("next")) || by_path(answer.pointer("/links/next"))
}

/// One element of a list; an error names it.
fn element<T: DeserializeOwned>(call: &Call, row: Value) -> Result<T, CloudError> {
    let id = row.get("id").and_then(Value::as_str).map(str::to_owned);
    serde_json::from_value(row).map_err(|error| match id {
        Some(id) => unexpected(call, format!("element {id}: {error}")),
        None => unexpected(call, error),
    })
}

pub(crate) fn unexpected(call: &Call, why: impl ToString) -> CloudError {
    CloudError::Unexpected {
        call: Box::new(call.clone()),
        why: why.to_string(),
    }
}

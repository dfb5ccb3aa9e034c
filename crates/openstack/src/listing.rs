//! Answers as typed values, and lists read to their last page.
//!
//! Nothing of an answer becomes a value that is not asked for: elements are read one by one from the bytes of their page.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    answer::{said, unexpected},
    ask::Ask,
    bounds::{self, LARGEST_BODY, LARGEST_LIST, MOST_ELEMENTS, MOST_PAGES},
    error::{Call, CallError},
    error_body::tidy,
    session::Session,
};

/// How often a list is begun anew because the element that marks a page went away meanwhile.
const RESTARTS: usize = 3;

impl Session {
    /// Sends and expects nothing but success.
    pub(crate) async fn done(&self, ask: Ask) -> Result<(), CallError> {
        self.send(&ask).await.map(|_| ())
    }

    /// Sends and reads the whole answer.
    pub(crate) async fn typed<T: DeserializeOwned>(&self, mut ask: Ask) -> Result<T, CallError> {
        ask.wants_json = true;
        let answer = self.send(&ask).await?;
        serde_json::from_slice(&answer.body).map_err(|error| unexpected(&ask.call, said(&error)))
    }

    /// Sends and reads the value below the answer's key `key`.
    pub(crate) async fn object<T: DeserializeOwned>(
        &self,
        mut ask: Ask,
        key: &str,
    ) -> Result<T, CallError> {
        ask.wants_json = true;
        let answer = self.send(&ask).await?;
        let inner = members(&answer.body)
            .remove(key)
            .ok_or_else(|| unexpected(&ask.call, format!("missing field `{key}`")))?;
        serde_json::from_str(inner.get()).map_err(|error| unexpected(&ask.call, said(&error)))
    }

    /// Reads a list that comes in one piece.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        mut ask: Ask,
        key: &str,
    ) -> Result<Vec<T>, CallError> {
        ask.wants_json = true;
        let answer = self.send(&ask).await?;
        let page = ListPage::of(&answer.body, key).map_err(|why| unexpected(&ask.call, why))?;
        if page.rows.len() > MOST_ELEMENTS {
            return Err(self.too_many(&ask, most_elements()).await);
        }
        page.rows
            .into_iter()
            .map(|row| element(&ask.call, row))
            .collect()
    }

    /// Reads a list to its last page, with `limit` and `marker`. An element that is missing in the result was not
    /// there when its page was read.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        ask: Ask,
        key: &str,
    ) -> Result<Vec<T>, CallError> {
        self.pages_where(ask, key, |_| true).await
    }

    /// As [`Session::pages`]; only the elements that `keep` wants are held.
    pub(crate) async fn pages_where<T: DeserializeOwned>(
        &self,
        mut ask: Ask,
        key: &str,
        keep: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, CallError> {
        ask.wants_json = true;
        let list = List {
            ask: &ask,
            key,
            until: self.end_of_a_list(),
        };
        let mut spent = Spent::default();
        let mut restarts = 0;
        loop {
            match self.pages_once(&list, &keep, &mut spent).await {
                Err(PageError::MarkerGone(_)) if restarts < RESTARTS => restarts += 1,
                Err(PageError::MarkerGone(error) | PageError::Other(error)) => return Err(error),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    async fn pages_once<T: DeserializeOwned>(
        &self,
        list: &List<'_>,
        keep: &impl Fn(&T) -> bool,
        spent: &mut Spent,
    ) -> Result<Vec<T>, PageError> {
        let ask = list.ask;
        let other = |why: String| PageError::Other(unexpected(&ask.call, why));
        let mut kept = Vec::new();
        let mut seen = BTreeSet::new();
        let mut marker: Option<String> = None;
        loop {
            let (body, limit) = self.page(list, marker.as_deref(), spent).await?;
            if let Some(why) = spent.too_much() {
                return Err(PageError::Other(self.too_many(ask, why).await));
            }
            let page = ListPage::of(&body, list.key).map_err(other)?;
            let more = page.linked || page.rows.len() >= limit;
            let (known_before, empty) = (seen.len(), page.rows.is_empty());
            for row in page.rows {
                let id = id_of(row).ok_or_else(|| other("an element without an id".to_owned()))?;
                marker = Some(id.clone());
                if !seen.insert(id) {
                    continue;
                }
                if seen.len() > MOST_ELEMENTS {
                    return Err(PageError::Other(self.too_many(ask, most_elements()).await));
                }
                let row = element(&ask.call, row).map_err(PageError::Other)?;
                if keep(&row) {
                    kept.push(row);
                }
            }
            let stuck = seen.len() == known_before;
            // A link to more that leads back would go on for ever, and what is missing would look absent.
            if page.linked && stuck && !empty {
                return Err(other(
                    "the list's next page repeats what was read".to_owned(),
                ));
            }
            if !more || stuck {
                return Ok(kept);
            }
        }
    }

    /// The page after `marker`, and how many elements were asked for. One that is too large to be taken is asked for in
    /// smaller pieces.
    async fn page(
        &self,
        list: &List<'_>,
        marker: Option<&str>,
        spent: &mut Spent,
    ) -> Result<(Bytes, usize), PageError> {
        loop {
            let limit = spent.limit(self.page_size());
            let ask = list
                .ask
                .clone()
                .query("limit", limit.to_string())
                .query_if("marker", marker);
            match self
                .send_until(&ask, list.until.min(self.end_of_a_call()))
                .await
            {
                Ok(answer) => {
                    spent.page(answer.body.len());
                    return Ok((answer.body, limit));
                }
                Err(error @ CallError::TooMuch { .. }) if limit > 1 => {
                    spent.refused();
                    if spent.too_much().is_some() {
                        return Err(PageError::Other(error));
                    }
                }
                Err(error) => return Err(PageError::of(error, marker.is_some())),
            }
        }
    }

    async fn too_many(&self, ask: &Ask, why: String) -> CallError {
        let base = self.endpoint(ask.call.service).await.unwrap_or_default();
        CallError::too_much(&ask.call, &ask.url(&base), why)
    }
}

/// Which list is read, and until when.
struct List<'a> {
    ask: &'a Ask,
    key: &'a str,
    until: Instant,
}

/// What a list has cost so far, restarts included.
#[derive(Default)]
struct Spent {
    bytes: usize,
    pages: usize,
    halvings: u32,
}

impl Spent {
    fn page(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.pages += 1;
    }

    /// A page was too large; nobody knows by how much.
    fn refused(&mut self) {
        self.page(LARGEST_BODY);
        self.halvings += 1;
    }

    fn limit(&self, page_size: usize) -> usize {
        page_size.checked_shr(self.halvings).unwrap_or(0).max(1)
    }

    fn too_much(&self) -> Option<String> {
        if self.bytes > LARGEST_LIST {
            return Some(format!(
                "the list is larger than {}",
                bounds::Bytes(LARGEST_LIST)
            ));
        }
        (self.pages > MOST_PAGES).then(|| format!("the list has more than {MOST_PAGES} pages"))
    }
}

fn most_elements() -> String {
    format!("the list has more than {MOST_ELEMENTS} elements")
}

enum PageError {
    /// The element that ended the last page is gone, so the next page cannot be found.
    MarkerGone(CallError),
    Other(CallError),
}

impl PageError {
    fn of(error: CallError, with_marker: bool) -> Self {
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

/// One page of a list.
pub(crate) struct ListPage<'a> {
    pub(crate) rows: Vec<&'a RawValue>,
    /// Whether it says that there is another. Where its link leads is of no matter: the next page is asked for by marker.
    linked: bool,
}

impl<'a> ListPage<'a> {
    pub(crate) fn of(body: &'a [u8], key: &str) -> Result<Self, String> {
        let members = members(body);
        let rows = members
            .get(key)
            .and_then(|rows| serde_json::from_str(rows.get()).ok())
            .ok_or_else(|| format!("missing list `{key}`"))?;
        Ok(Self {
            rows,
            linked: says_there_is_more(&members, key),
        })
    }
}

/// The members of a body that is an object; none of another one.
fn members(body: &[u8]) -> BTreeMap<String, &RawValue> {
    serde_json::from_slice(body).unwrap_or_default()
}

/// `servers_links: [{"rel": "next"}]` (Nova, Cinder, Neutron), `next` (Glance), `links.next` (Keystone).
fn says_there_is_more(members: &BTreeMap<String, &RawValue>, key: &str) -> bool {
    let is_next = |link: &&RawValue| {
        let link = inner(link);
        link.get("rel").is_some_and(|rel| rel.get() == r#""next""#)
    };
    let links = members.get(&format!("{key}_links"));
    let links = links.and_then(|links| serde_json::from_str::<Vec<&RawValue>>(links.get()).ok());
    let is_path =
        |value: Option<&&RawValue>| value.is_some_and(|value| value.get().starts_with('"'));
    links.is_some_and(|links| links.iter().any(is_next))
        || is_path(members.get("next"))
        || is_path(
            members
                .get("links")
                .map(|links| inner(links))
                .unwrap_or_default()
                .get("next"),
        )
}

fn inner(value: &RawValue) -> BTreeMap<String, &RawValue> {
    members(value.get().as_bytes())
}

fn id_of(row: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Marked {
        id: String,
    }
    serde_json::from_str::<Marked>(row.get())
        .ok()
        .map(|marked| marked.id)
}

/// One element of a list; an error names it.
pub(crate) fn element<T: DeserializeOwned>(call: &Call, row: &RawValue) -> Result<T, CallError> {
    serde_json::from_str(row.get()).map_err(|error| match id_of(row) {
        Some(id) => unexpected(call, format!("element {}: {}", tidy(&id), said(&error))),
        None => unexpected(call, said(&error)),
    })
}

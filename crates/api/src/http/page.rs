//! Pages of lists that are read as a whole.

use chrono::{DateTime, SecondsFormat, Utc};
use protector_wire::page::{Link, SortDir};

use crate::http::error::{ApiError, ApiResult};

/// The number of entries that a page holds: what the caller asked for, at most `[api] max_limit`.
pub fn limit(given: Option<u32>, max: usize) -> ApiResult<usize> {
    match given {
        None => Ok(max),
        Some(0) => Err(ApiError::bad_request("limit: must be at least 1, it is 0.")),
        Some(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX).min(max)),
    }
}

/// Orders a list that is read as a whole, by what `key` says; its last part should be the id, so that pages do not
/// depend on chance. Ascending unless `dir` says otherwise.
pub fn order<T, K: Ord>(all: &mut [T], dir: Option<SortDir>, key: impl Fn(&T) -> K) {
    all.sort_by_cached_key(key);
    if dir == Some(SortDir::Desc) {
        all.reverse();
    }
}

/// A time as text that sorts as times do.
pub fn time_key(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut<T> {
    pub items: Vec<T>,
    /// The link to the next page, if there is one.
    pub links: Option<Vec<Link>>,
}

/// Cuts one page out of `all`, which is filtered and ordered: the entries behind `marker`, at most `limit`.
pub fn cut<T>(
    all: Vec<T>,
    uri: &http::Uri,
    marker: Option<&str>,
    limit: usize,
    id: impl Fn(&T) -> &str,
) -> ApiResult<Cut<T>> {
    let start = match marker {
        None => 0,
        Some(marker) => {
            let place = all.iter().position(|entry| id(entry) == marker);
            let place = place.ok_or_else(|| {
                ApiError::bad_request(format!(
                    "marker: no entry of this list has the id {marker}."
                ))
            })?;
            place + 1
        }
    };
    let more = all.len() > start + limit;
    let items: Vec<T> = all.into_iter().skip(start).take(limit).collect();
    let last = items.last().filter(|_| more);
    let links = last.map(|entry| vec![next_link(uri, id(entry))]);
    Ok(Cut { items, links })
}

/// The link to the page behind the entry `last`: the same query with another marker.
pub fn next_link(uri: &http::Uri, last: &str) -> Link {
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("marker="));
    let query: Vec<&str> = kept.collect();
    let joined = if query.is_empty() {
        format!("marker={last}")
    } else {
        format!("{}&marker={last}", query.join("&"))
    };
    Link {
        rel: "next",
        href: format!("{}?{joined}", uri.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> Vec<String> {
        ["a", "b", "c", "d"].map(str::to_owned).to_vec()
    }

    #[test]
    fn pages_follow_one_another() {
        let uri: http::Uri = "/v1/letters?limit=2".parse().unwrap();
        let first = cut(letters(), &uri, None, 2, |x| x).unwrap();
        assert_eq!(first.items, ["a", "b"]);
        assert_eq!(first.links.unwrap()[0].href, "/v1/letters?limit=2&marker=b");
        let second = cut(letters(), &uri, Some("b"), 2, |x| x).unwrap();
        assert_eq!(second.items, ["c", "d"]);
        assert_eq!(second.links, None);
    }

    #[test]
    fn a_bad_marker_or_limit_is_named() {
        let uri = http::Uri::from_static("/v1/letters");
        let error = cut(letters(), &uri, Some("z"), 2, |x| x).unwrap_err();
        assert!(error.message().starts_with("marker"));
        assert!(
            limit(Some(0), 9)
                .unwrap_err()
                .message()
                .starts_with("limit")
        );
        assert_eq!(limit(Some(1001), 1000), Ok(1000));
    }

    #[test]
    fn the_next_link_keeps_the_query() {
        let uri: http::Uri = "/v1/p/operations?limit=2&marker=a&status=failed"
            .parse()
            .unwrap();
        assert_eq!(
            next_link(&uri, "b").href,
            "/v1/p/operations?limit=2&status=failed&marker=b"
        );
    }
}

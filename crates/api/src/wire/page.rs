//! Pages of lists: limit, marker, order, and the link to the next page.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::{ApiError, ApiResult};

/// The direction of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortDir {
    /// Smallest or oldest first.
    Asc,
    /// Largest or newest first.
    #[default]
    Desc,
}

/// Query of lists without filters of their own.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The most entries to return, at least 1.
    pub limit: Option<u32>,
    /// The id of the last entry of the page before.
    pub marker: Option<String>,
}

/// A link of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    /// `next`.
    #[schema(value_type = String)]
    pub rel: &'static str,
    /// Where.
    pub href: String,
}

/// The number of entries that a page holds: what the caller asked for, at most `[api] max_limit`.
pub fn limit(given: Option<u32>, max: usize) -> ApiResult<usize> {
    match given {
        None => Ok(max),
        Some(0) => Err(ApiError::bad_request("limit: must be at least 1, it is 0.")),
        Some(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX).min(max)),
    }
}

/// Cuts one page out of `all`, which is filtered and ordered: the entries behind `marker`, at most `limit`. Says
/// whether more follow.
pub fn cut<T>(
    all: Vec<T>,
    marker: Option<&str>,
    limit: usize,
    id: impl Fn(&T) -> &str,
) -> ApiResult<(Vec<T>, bool)> {
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
    Ok((all.into_iter().skip(start).take(limit).collect(), more))
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
        let (page, more) = cut(letters(), None, 2, |x| x).unwrap();
        assert_eq!((page, more), (vec!["a".to_owned(), "b".to_owned()], true));
        let (page, more) = cut(letters(), Some("b"), 2, |x| x).unwrap();
        assert_eq!((page, more), (vec!["c".to_owned(), "d".to_owned()], false));
    }

    #[test]
    fn a_bad_marker_or_limit_is_named() {
        let error = cut(letters(), Some("z"), 2, |x| x).unwrap_err();
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

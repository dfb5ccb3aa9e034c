//! Pages of lists: limit, marker, sort key and direction, as OpenStack's APIs have them.

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, Value,
};

/// In which direction a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderDirection {
    #[default]
    Asc,
    Desc,
}

/// Which part of a list is wanted. `K` names the columns that may be sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// At most this many items.
    pub limit: u64,
    /// The id of the last item of the page before.
    pub marker: Option<String>,
    /// By what the list is sorted; equal items by id.
    pub sort_key: K,
    pub sort_dir: OrderDirection,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Whether another page follows this one.
    pub more: bool,
}

impl<T> Listed<T> {
    /// Makes a page of `rows`, which were read with one more than `limit`.
    pub(crate) fn of(mut rows: Vec<T>, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { items: rows, more }
    }
}

/// A page of what a query cannot tell alone: it is filled from several pages of what may belong to it.
pub(crate) struct Filling<T> {
    limit: u64,
    items: Vec<T>,
    has_read_all: bool,
}

impl<T> Filling<T> {
    /// A page of at most `limit` items.
    pub(crate) fn of(limit: u64) -> Self {
        Self {
            limit,
            items: Vec::new(),
            has_read_all: false,
        }
    }

    /// Whether the next page has to be read: also to learn whether another page follows a full one.
    pub(crate) fn wants_more(&self) -> bool {
        !self.has_read_all && self.items.len() as u64 <= self.limit
    }

    /// Adds what belongs to it of a page that was read.
    pub(crate) fn add(&mut self, read: Listed<T>) {
        self.items.extend(read.items);
        self.has_read_all = !read.more;
    }

    pub(crate) fn into_listed(self) -> Listed<T> {
        Listed::of(self.items, self.limit)
    }
}

/// The values of a marker's row in the sorted column and in the id column.
#[derive(Clone)]
pub(crate) struct After {
    pub(crate) value: Value,
    pub(crate) id: String,
}

/// Sorts `query`, skips to what comes after the marker, and reads one row more than `limit`.
pub(crate) fn paged<E, C>(
    query: Select<E>,
    sort: C,
    id: C,
    dir: OrderDirection,
    after: Option<After>,
    limit: u64,
) -> Select<E>
where
    E: EntityTrait,
    C: ColumnTrait,
{
    let order = match dir {
        OrderDirection::Asc => Order::Asc,
        OrderDirection::Desc => Order::Desc,
    };
    let query = match after {
        None => query,
        Some(after) => query.filter(beyond(sort, id, dir, after)),
    };
    query
        .order_by(sort, order.clone())
        .order_by(id, order)
        .limit(limit.saturating_add(1))
}

/// The first part alone is a range of the index; of equal values the second one lets pass what comes behind the marker.
fn beyond<C: ColumnTrait>(sort: C, id: C, dir: OrderDirection, after: After) -> Condition {
    let value = after.value;
    let (from, past, past_id) = match dir {
        OrderDirection::Asc => (sort.gte(value.clone()), sort.gt(value), id.gt(after.id)),
        OrderDirection::Desc => (sort.lte(value.clone()), sort.lt(value), id.lt(after.id)),
    };
    Condition::all()
        .add(from)
        .add(Condition::any().add(past).add(past_id))
}

/// Ids in one statement, at most: SQLite and MariaDB have a limit of parameters.
pub(crate) const AT_ONCE: usize = 500;

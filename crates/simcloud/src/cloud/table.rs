//! Rows in order of creation, found by id.

use std::collections::BTreeMap;

use uuid::Uuid;

/// A table of one kind of resource. Iteration is in order of creation.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    rows: BTreeMap<u64, (Uuid, T)>,
    places: BTreeMap<Uuid, u64>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            places: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, id: Uuid, row: T) {
        self.remove(id);
        self.next += 1;
        self.places.insert(id, self.next);
        self.rows.insert(self.next, (id, row));
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&T> {
        self.places
            .get(&id)
            .and_then(|place| self.rows.get(place))
            .map(|(_, row)| row)
    }

    pub(crate) fn get_mut(&mut self, id: Uuid) -> Option<&mut T> {
        let place = self.places.get(&id)?;
        self.rows.get_mut(place).map(|(_, row)| row)
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> Option<T> {
        let place = self.places.remove(&id)?;
        self.rows.remove(&place).map(|(_, row)| row)
    }

    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.places.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.values().map(|(_, row)| row)
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.rows.values_mut().map(|(_, row)| row)
    }
}

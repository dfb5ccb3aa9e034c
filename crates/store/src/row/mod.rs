//! Rows of the database, and the values of the domain that they hold: one file a table. Queries stand elsewhere.

pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod operation;
pub(crate) mod step;

//! Starting operations on groups, one file a kind. [`new_operation`] is what each start ends with; [`admission`] and
//! [`left_behind`] are what it has to pass.

pub mod abort;
pub mod admission;
pub mod adopt;
pub mod adoptable;
pub mod cleanup;
pub mod fence;
mod first_copy;
pub mod interrupted;
pub mod last_move;
pub mod left_behind;
mod lost_source;
pub mod new_operation;
pub mod planned;
pub mod preview;
pub(crate) mod recovery_point;
pub mod replicate;
pub mod retry;
pub mod site_failover;
mod source;
mod strict;
pub mod test_failover;
pub mod unplanned;

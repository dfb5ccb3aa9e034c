//! The seam to storage arrays: what a driver can do, and what it must never do.
//!
//! A driver speaks for all arrays of its kind that a site is configured with. It is four traits, by concern:
//! [`ArrayObjects`] tells one object from another, [`GroupReplication`] keeps the other array up to date, [`GroupFailover`] moves a
//! group there and back, [`TestClones`] lets somebody try it. [`StorageDriver`] is all four.
//!
//! What holds for every call:
//!
//! - **It may be made again.** Engines die in the middle of calls and another one asks once more, for the same operation:
//!   the call goes on from what is there and ends in the same state. "It is there already" is success only for what carries
//!   this operation's own mark; what is somebody else's is refused, never taken and never overwritten.
//! - **It is short.** What takes long is begun, and answers [`ArrayProgress::Pending`]; asked again it tells how far it is.
//!   Nothing waits for the other site within a call.
//! - **It asks only the side it needs.** [`PromotionMode::Forced`] and everything about a test needs the target alone: the
//!   source's array may be under water.
//! - **It never destroys for good** what can be put aside, and never by force unless the call says so.
//! - **Its errors say what to do** ([`StorageErrorKind`]), in the array's own words, and never carry a secret.

mod capabilities;
mod driver;
mod error;
mod object;
mod point;
mod progress;
mod promoted;
mod registry;

pub use capabilities::{Capabilities, Consistency, PointsKept, PromotionKind, WayBack};
pub use driver::{ArrayObjects, GroupFailover, GroupReplication, StorageDriver, TestClones};
pub use error::{StorageError, StorageErrorKind};
pub use object::{BackendObject, CinderVolume, Relation};
pub use point::{RecoveryPoint, Replication, Written};
pub use progress::{ArrayProgress, Pending};
pub use promoted::{PromotedVolume, PromotionMode};
pub use registry::ArrayRegistry;

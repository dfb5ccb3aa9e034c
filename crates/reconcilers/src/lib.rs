//! What an engine does beside its walks, all the time: it looks at what is, compares it with what should be, and does what is missing.
//!
//! What a reconciler may assume:
//!
//! - **Nothing is handed to it.** It takes no events and keeps no queue: each look reads the records anew, so a look that was
//!   missed, or cut off anywhere, costs time and nothing else. What is due is a comparison in the records: a version above the one
//!   last pushed, a leftover that was not looked at, a member that was read long ago.
//! - **It is not alone.** Every engine of a site runs all of them, and so does the other site. Two looks at the same time must end
//!   as one: what is written is conditional on what was read (a version, a status), and a call to the peer says what it rests on.
//! - **The world has moved on.** Between the reading and the write a group may have been moved, changed or deleted. The write then
//!   fails its condition, which is no error: the next look sees the new world.
//! - **Silence says nothing.** A cloud or a peer that does not answer is asked again, ever more slowly, and whatever stood on its
//!   word stays as it was. One group's trouble delays no other's.
//! - **It destroys nothing.** A reconciler changes records of this site and tells the peer. What changes a cloud is an operation's,
//!   with its intent, lease and guards.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod member_refresh;
pub mod push;
pub mod split_brain_watch;

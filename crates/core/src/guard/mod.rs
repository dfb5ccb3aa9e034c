//! The guards: pure functions that decide, from the record and a fresh reading, what may be done with a resource.
//!
//! Facts go in, a [`Verdict`] comes out; the step that asked only carries it out. Unknown means keep (invariant I13).
//! Each guard is one small function with its reason in its name and gives `Some` where it objects; `verdict_*` asks
//! them in order, and the first that objects decides. `make guards` takes each one out in turn and shows the test that
//! notices.

mod counterpart;
mod counterpart_server;
mod fenced;
mod floating_ip;
mod host;
mod last_copy;
mod ownership;
mod restart;
mod resync;
mod scope;
mod seen;
mod source_at_rest;
mod source_server;
mod source_volume;
mod test_copy;
mod verdict;
mod written_since;

pub use counterpart::{CopyState, Counterpart};
pub use counterpart_server::{
    CounterpartServer, ForgottenCounterpart, MadeCounterpart, import_must_stay,
    its_guest_may_run_on, verdict_counterpart_server,
};
pub use fenced::{OtherSide, must_not_be_fenced, must_stay_fenced};
pub use floating_ip::{
    KnownFloatingIp, SeenFloatingIp, floating_ip_is_not_known, verdict_floating_ip,
};
pub use host::HostState;
pub use last_copy::{CopyOfVolume, original_is_gone};
pub use ownership::{a_member_is_not_fenced, lives_on_unseen, protected_since};
pub use restart::{SeenCopy, must_stay_stopped};
pub use resync::{SideInUse, must_not_be_resynced};
pub use scope::{KnownThere, absence_proves_nothing};
pub use seen::{
    GuestState, Power, SeenAttachment, SeenMarks, SeenReservation, SeenServer, SeenVolume,
    status_in_words, to_make_it_run,
};
pub use source_at_rest::{
    DeletedOriginal, Resized, SeenAction, SourceAtRest, changed_before_it_stopped, changed_disks,
    deleted_original_had_run, goes_on_again, source_must_rest,
};
pub use source_server::{SourceServer, verdict_source_server};
pub use source_volume::{OwnServer, SourceVolume, verdict_source_volume};
pub use test_copy::{TestCopy, verdict_test_server, verdict_test_volume};
pub use verdict::{Asked, Cure, Left, Verdict};
pub use written_since::{
    WrittenCopy, WrittenOriginal, its_newer_bytes_are_nowhere_else, written_after_its_replication,
};

#[cfg(test)]
mod test_facts;

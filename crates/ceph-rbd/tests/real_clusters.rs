//! The driver on two real Ceph clusters that mirror to each other.
//!
//! Runs when `PROTECTOR_TEST_CEPH` names the directory of the clusters (`make ceph-up`), and says so when it does not.
//! `PROTECTOR_TEST_CEPH_ONLY` runs the stories whose name contains it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "these are tests, and what they make on clusters has names of its own"
)]

mod fixture;
mod stories;

use fixture::Clusters;

/// One after the other: one of them kills a site.
#[tokio::test(flavor = "multi_thread")]
async fn the_driver_on_real_clusters() {
    let Some(clusters) = Clusters::of_environment() else {
        println!("skipped: PROTECTOR_TEST_CEPH names no clusters, see `make ceph-up`");
        return;
    };
    let only = std::env::var("PROTECTOR_TEST_CEPH_ONLY").unwrap_or_default();
    macro_rules! tell {
        ($($story:ident)*) => {$(
            if stringify!($story).contains(&only) {
                let began = std::time::Instant::now();
                println!("{} …", stringify!($story));
                stories::$story(&clusters).await;
                println!("{}: {:.1} s", stringify!($story), began.elapsed().as_secs_f32());
            }
        )*};
    }
    tell! {
        what_is_not_set_up_is_found
        it_is_as_any_driver
        a_first_copy_tells_how_far_it_is
        there_and_back_three_times
        a_promotion_is_discarded_and_the_source_goes_on
        a_busy_source_is_not_fenced
        a_test_goes_on_beside_the_writes
        a_volume_made_of_an_image_is_protected
        both_sides_keep_what_is_unprotected
        a_forced_promotion_is_taken_back
        a_test_keeps_its_point
        what_was_made_anew_is_not_believed
        an_end_of_protection_is_ended_later
        a_successor_waits_for_a_forced_promotion
        a_discard_waits_for_the_promotion
        a_discard_without_the_source_is_not_forgotten
        a_replica_that_was_never_promoted_stays
        a_lost_site_comes_back
        a_move_goes_on_whoever_is_killed
        what_an_engine_does
        a_group_of_twenty
    }
}

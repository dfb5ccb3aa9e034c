//! The contract, *Resource Lifecycle and Cleanup*, statement by statement: one file per section, each statement a test
//! on two simulated clouds, typed with the real `openstack` command where the contract prints it.
//!
//! `docs/contract-coverage.md` says which sentence is shown by which test; [`coverage`] holds it to that.

mod automatic_cleanup;
mod checking_results;
mod configuration;
mod coverage;
mod example_1;
mod example_2;
mod example_3;
mod example_4;
mod likeness;
mod manual_cleanup;
mod prerequisites;
mod scene;
mod test_failover_cleanup;
mod troubleshooting;

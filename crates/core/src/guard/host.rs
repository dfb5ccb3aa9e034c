//! The compute host of a server: while its service is down, Nova deletes servers in its own records only, says 404, and
//! Cinder says `available`, but the guest may still run and write (docs/safety.md, `host_does_not_answer`).

use super::verdict::{Verdict, keep};

/// What is known of the compute host that a server is on, or was on when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Its compute service answers.
    Up {
        host: String,
    },
    /// Nova has not heard of its compute service for too long, or an administrator says that it is down.
    Down {
        host: String,
    },
    /// The server is on no host: it was shelved and taken off, or never placed.
    None,
    Unknown {
        why: String,
    },
}

/// A server whose host does not answer cannot be stopped for certain: deleting it would only hide its guest.
pub(super) fn host_does_not_answer(host: &HostState) -> Option<Verdict> {
    match host {
        HostState::Up { .. } | HostState::None => None,
        HostState::Down { host } => keep(format!(
            "kept: its compute host {host} is down: Nova would forget the server while its guest may still run and write; when nova-compute on {host} runs again ('openstack compute service list'), run cleanup again"
        )),
        HostState::Unknown { why } => keep(format!(
            "kept: nobody knows whether its compute host is up ({why}), and on a dead host its guest may still run and write; when that can be read, run cleanup again"
        )),
    }
}

/// The server is gone, but a 404 proves nothing while the host that it was on does not answer.
pub(super) fn guest_may_still_write(server_id: &str, host: &HostState) -> Option<Verdict> {
    match host {
        HostState::Up { .. } | HostState::None => None,
        HostState::Down { host } => keep(format!(
            "kept: its server {server_id} is gone from Nova, but its compute host {host} is down: the guest may still run and write; when nova-compute on {host} runs again ('openstack compute service list'), run cleanup again"
        )),
        HostState::Unknown { why } => keep(format!(
            "kept: its server {server_id} is gone from Nova, but nobody knows whether the compute host that it was on is up ({why}): the guest may still run and write; see that no host runs it any more, then delete the volume by hand"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::test_facts::{down, kept, unknown, up};

    #[test]
    fn a_server_on_a_dead_host_is_kept() {
        assert_eq!(host_does_not_answer(&up()), None);
        assert_eq!(host_does_not_answer(&HostState::None), None);
        assert!(kept(host_does_not_answer(&down())).contains("host compute-1 is down"));
        assert!(kept(host_does_not_answer(&unknown())).contains("403"));
    }

    #[test]
    fn a_404_from_nova_proves_nothing_while_the_host_is_down() {
        assert_eq!(guest_may_still_write("s", &up()), None);
        assert_eq!(guest_may_still_write("s", &HostState::None), None);
        assert!(kept(guest_may_still_write("s", &down())).contains("host compute-1 is down"));
        assert!(kept(guest_may_still_write("s", &unknown())).contains("403"));
    }
}

//! How much of what a project, and a peer, may have.

use std::fmt;

/// What there is a quota of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaOf {
    /// A project's protection groups.
    ProtectionGroups,
    MembersPerGroup,
    /// A project's operations that have not ended.
    OpenOperations,
}

impl QuotaOf {
    /// The option that sets it, and the word for it in refusals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProtectionGroups => "protection_groups",
            Self::MembersPerGroup => "members_per_group",
            Self::OpenOperations => "open_operations",
        }
    }
}

impl fmt::Display for QuotaOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much one project may have; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    pub protection_groups: Option<u64>,
    /// Members of one of them.
    pub members_per_group: Option<u64>,
    /// Operations that have not ended.
    pub open_operations: Option<u64>,
}

/// How much is kept; `None`: all that is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyQuota {
    /// Protection groups of one project that are shared with one other site (`[quota] peer_protection_groups`).
    pub groups: Option<u64>,
    /// Records of the operations that another site runs for one group (`[quota] peer_operations`). Those of groups that are
    /// not known here count together, per project and site.
    pub operations: Option<u64>,
}

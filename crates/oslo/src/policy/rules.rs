//! The rules of this service and their defaults, declared beside what they guard.

use std::fmt;

/// The name of a declared rule; there is no other way to ask for a decision, so that a handler
/// cannot name a rule that the sample file does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleName(&'static str);

impl RuleName {
    /// The name as the policy file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl RuleName {
    /// What the rule is about, without the service and the noun: `failover`.
    pub fn last_word(self) -> &'static str {
        self.0.rsplit(':').next().unwrap_or(self.0)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A rule with its default and what it guards.
#[derive(Debug, Clone, Copy)]
pub struct RuleDefault {
    pub name: RuleName,
    /// The check that holds unless the policy file says otherwise.
    pub check_str: &'static str,
    /// What it decides, for the sample file.
    pub description: &'static str,
    /// Method and path of the calls it guards; none for rules that only other rules use.
    pub operations: &'static [(&'static str, &'static str)],
}

const ADMIN: &str = "rule:admin_required";
const READ: &str = "rule:admin_or_owner";
const WRITE: &str = "rule:admin_required or rule:owner_member";
const ANY_PROJECT_ROLE: &str = "role:admin or role:member or role:reader or role:dr_site_admin";

const GROUPS: &str = "/v1/{project_id}/protection-groups";
const GROUP: &str = "/v1/{project_id}/protection-groups/{group}";
const ACTION: &str = "/v1/{project_id}/protection-groups/{group}/action";
const MEMBERS: &str = "/v1/{project_id}/protection-groups/{group}/members";
const COMPARISON: &str = "/v1/{project_id}/protection-groups/{group}/members/{member}/comparison";
const MEMBER: &str = "/v1/{project_id}/protection-groups/{group}/members/{member}";
const POLICY: &str = "/v1/{project_id}/protection-groups/{group}/policy";
const RECOVERY_POINTS: &str = "/v1/{project_id}/protection-groups/{group}/recovery-points";
const MAPPINGS: &str = "/v1/{project_id}/protection-groups/{group}/resource-mappings";
const CHECK: &str = "/v1/{project_id}/protection-groups/{group}/check";
const RECOVERY_PLAN: &str = "/v1/{project_id}/protection-groups/{group}/recovery-plan";
const METADATA: &str = "/v1/{project_id}/protection-groups/{group}/metadata";
const OPERATION_COPY: &str = "/v1/{project_id}/operations/{operation}/copy";

macro_rules! rules {
    ($($constant:ident $name:literal $check:expr, $description:literal, [$($method:literal $path:expr),*];)*) => {
        $(
            #[doc = $description]
            pub const $constant: RuleName = RuleName($name);
        )*

        /// Every rule with its default, in the order of the sample file.
        pub const DEFAULTS: &[RuleDefault] = &[
            $(RuleDefault {
                name: $constant,
                check_str: $check,
                description: $description,
                operations: &[$(($method, $path)),*],
            },)*
        ];
    };
}

rules! {
    ADMIN_REQUIRED "admin_required" "role:admin",
        "Administrators of the cloud.", [];
    ADMIN_OR_OWNER "admin_or_owner" "role:admin or project_id:%(project_id)s",
        "Administrators, and whoever has any role on the project that owns the object.", [];
    OWNER_MEMBER "owner_member" "role:member and project_id:%(project_id)s",
        "Members of the project that owns the object.", [];
    OWNER_READER "owner_reader" "role:reader and project_id:%(project_id)s",
        "Readers of the project that owns the object. No default uses it; write it in the place of admin_or_owner to let only the roles of Keystone's hierarchy read.", [];

    SITES_INDEX "protector:sites:index" ANY_PROJECT_ROLE,
        "List sites. Tenants see names and states only.", ["GET" "/v1/admin/sites"];
    SITES_SHOW "protector:sites:show" ANY_PROJECT_ROLE,
        "Show a site. Tenants see its name and state only.", ["GET" "/v1/admin/sites/{site}"];
    SITES_CREATE "protector:sites:create" ADMIN,
        "Register a site.", ["POST" "/v1/admin/sites"];
    SITES_UPDATE "protector:sites:update" ADMIN,
        "Change a site's endpoint or credentials.", ["PUT" "/v1/admin/sites/{site}"];
    SITES_DELETE "protector:sites:delete" ADMIN,
        "Remove a site that no protection group uses.", ["DELETE" "/v1/admin/sites/{site}"];
    SITES_RETIRE "protector:sites:retire" ADMIN,
        "Retire a site that is gone for good: its groups lose their other site.", ["POST" "/v1/admin/sites/{site}/retire"];
    SITES_VALIDATE "protector:sites:validate" ADMIN,
        "Check that a site can be reached and used.", ["POST" "/v1/admin/sites/{site}/validate"];
    SITES_LIST_VOLUME_TYPES "protector:sites:list_volume_types" ADMIN,
        "List the volume types of a site.", ["GET" "/v1/admin/sites/{site}/volume-types"];

    SITES_FAILOVER "protector:sites:failover" "rule:admin_required or role:dr_site_admin",
        "Fail over all protection groups that run on a site, whichever project they belong to. Give the role dr_site_admin to those who answer for a site and administer nothing else.",
        ["POST" "/v1/admin/sites/{site}/failover"];

    TENANT_MAPPINGS_INDEX "protector:tenant_mappings:index" ADMIN,
        "List which projects of the two sites belong together.", ["GET" "/v1/admin/tenant-mappings"];
    TENANT_MAPPINGS_SHOW "protector:tenant_mappings:show" ADMIN,
        "Show a tenant mapping.", ["GET" "/v1/admin/tenant-mappings/{mapping}"];
    TENANT_MAPPINGS_CREATE "protector:tenant_mappings:create" ADMIN,
        "Map a project to its counterpart and give the service its role on both.", ["POST" "/v1/admin/tenant-mappings"];
    TENANT_MAPPINGS_DELETE "protector:tenant_mappings:delete" ADMIN,
        "Remove a tenant mapping and, where asked for, the service's role on both projects.", ["DELETE" "/v1/admin/tenant-mappings/{mapping}"];

    PROTECTION_GROUPS_INDEX "protector:protection_groups:index" READ,
        "List protection groups.", ["GET" GROUPS];
    PROTECTION_GROUPS_SHOW "protector:protection_groups:show" READ,
        "Show a protection group.", ["GET" GROUP];
    PROTECTION_GROUPS_CREATE "protector:protection_groups:create" WRITE,
        "Create a protection group.", ["POST" GROUPS];
    PROTECTION_GROUPS_UPDATE "protector:protection_groups:update" WRITE,
        "Change a protection group's name or description.", ["PUT" GROUP];
    PROTECTION_GROUPS_DELETE "protector:protection_groups:delete" WRITE,
        "Delete a protection group. Its VMs and volumes stay.", ["DELETE" GROUP];
    PROTECTION_GROUPS_FAILOVER "protector:protection_groups:action:failover" WRITE,
        "Fail a protection group over to its secondary site.", ["POST" ACTION];
    PROTECTION_GROUPS_FAILBACK "protector:protection_groups:action:failback" WRITE,
        "Bring a protection group back to its primary site.", ["POST" ACTION];
    PROTECTION_GROUPS_TEST_FAILOVER "protector:protection_groups:action:test_failover" WRITE,
        "Start copies of a protection group's VMs on the secondary site.", ["POST" ACTION];
    PROTECTION_GROUPS_TEST_CLEANUP "protector:protection_groups:action:test_cleanup" WRITE,
        "Delete what a test failover created.", ["POST" ACTION];
    PROTECTION_GROUPS_RETRY "protector:protection_groups:action:retry" WRITE,
        "Recover the VMs that an unplanned failover could not.", ["POST" ACTION];
    PROTECTION_GROUPS_FENCE "protector:protection_groups:action:fence" WRITE,
        "Stop what an unplanned failover left running on the site that was lost.", ["POST" ACTION];
    PROTECTION_GROUPS_SYNC "protector:protection_groups:action:sync" WRITE,
        "Replicate a protection group's volumes now.", ["POST" ACTION];
    PROTECTION_GROUPS_SYNC_STATUS "protector:protection_groups:sync_status" READ,
        "Compare a protection group's metadata on both sites.",
        ["GET" "/v1/{project_id}/protection-groups/{group}/sync-status"];
    PROTECTION_GROUPS_CHECK "protector:protection_groups:check" READ,
        "Look for everything that would make a failover of a protection group fail.", ["GET" CHECK];
    PROTECTION_GROUPS_SYNC_FORCE "protector:protection_groups:sync_force" WRITE,
        "Push a protection group's metadata to the other site.",
        ["POST" "/v1/{project_id}/protection-groups/{group}/sync-force"];
    PROTECTION_GROUPS_RESET_STATUS "protector:protection_groups:reset_status" WRITE,
        "Put a protection group at rest when both clouds show that it is where it is said to be.",
        ["POST" "/v1/{project_id}/protection-groups/{group}/reset-status"];

    MEMBERS_INDEX "protector:members:index" READ,
        "List the VMs of a protection group.", ["GET" MEMBERS];
    MEMBERS_SHOW "protector:members:show" READ,
        "Show a VM of a protection group and its volumes.", ["GET" MEMBER];
    MEMBERS_COMPARE "protector:members:compare" READ,
        "Compare a VM of a protection group with what is on record, and with what its copy would be.", ["GET" COMPARISON];
    MEMBERS_CREATE "protector:members:create" WRITE,
        "Add a VM to a protection group.", ["POST" MEMBERS];
    MEMBERS_DELETE "protector:members:delete" WRITE,
        "Take a VM out of a protection group. The VM stays.", ["DELETE" MEMBER];

    POLICIES_SHOW "protector:policies:show" READ,
        "Show a protection group's replication policy, without the arrays' credentials.", ["GET" POLICY];
    RECOVERY_POINTS_INDEX "protector:recovery_points:index" READ,
        "List the recovery points of a protection group.", ["GET" RECOVERY_POINTS];
    POLICIES_CREATE "protector:policies:create" WRITE,
        "Give a protection group its replication policy.", ["POST" POLICY];
    POLICIES_UPDATE "protector:policies:update" WRITE,
        "Change a protection group's replication policy.", ["PUT" POLICY];
    POLICIES_DELETE "protector:policies:delete" WRITE,
        "Remove a protection group's replication policy.", ["DELETE" POLICY];

    RESOURCE_MAPPINGS_SHOW "protector:resource_mappings:show" READ,
        "Show which network and flavor of one site stands for which of the other.", ["GET" MAPPINGS];
    RESOURCE_MAPPINGS_UPDATE "protector:resource_mappings:update" WRITE,
        "Change these mappings.", ["PUT" MAPPINGS];

    RECOVERY_PLANS_SHOW "protector:recovery_plans:show" READ,
        "Show in which order a protection group's VMs start, with its probes, pauses and hooks.", ["GET" RECOVERY_PLAN];
    RECOVERY_PLANS_UPDATE "protector:recovery_plans:update" WRITE,
        "Change this plan.", ["PUT" RECOVERY_PLAN];

    OPERATIONS_INDEX "protector:operations:index" READ,
        "List DR operations.", ["GET" "/v1/{project_id}/operations"];
    OPERATIONS_SHOW "protector:operations:show" READ,
        "Show a DR operation and its steps.", ["GET" "/v1/{project_id}/operations/{operation}"];
    OPERATIONS_CLEANUP "protector:operations:cleanup" WRITE,
        "Delete what a finished operation left behind.",
        ["POST" "/v1/{project_id}/operations/{operation}/cleanup"];

    OPERATIONS_RESUME "protector:operations:resume" WRITE,
        "Let a paused DR operation go on.",
        ["POST" "/v1/{project_id}/operations/{operation}/resume"];

    OPERATIONS_ABORT "protector:operations:abort" WRITE,
        "Give a DR operation up that has not moved its group: everything it has done is taken back.",
        ["POST" "/v1/{project_id}/operations/{operation}/abort"];

    OPERATIONS_ADOPT "protector:operations:adopt" WRITE,
        "Go forward with the copies of a failed DR operation that could not be taken back: they become the group. The rule of that operation, a failover or a failback, is asked too.",
        ["POST" "/v1/{project_id}/operations/{operation}/adopt"];

    ORPHANS_INDEX "protector:orphans:index" READ,
        "List what earlier operations left on the sites. Deleting it is protector:operations:cleanup.",
        ["GET" "/v1/{project_id}/orphans"];

    HEALTH_SHOW "protector:health:show" ANY_PROJECT_ROLE,
        "Show how the sites, the service and the caller's protection groups are. The groups of all projects need admin_required.",
        ["GET" "/v1/health"];

    METADATA_PUSH "protector:metadata:push" "role:admin or role:service",
        "Compare, receive or withdraw a protection group's metadata, receive copies of operations, and tell the key that this site signs with, on behalf of the other site, whose service user calls this.",
        ["GET" METADATA, "PUT" METADATA, "DELETE" METADATA, "PUT" OPERATION_COPY, "GET" "/v1/signing-key"];
}

//! What the records say, as answers.

use protector_store::{DatabaseFailure, LockKind, Noun, QuotaOf, StoreError};
use protector_wire::text::Timestamp;

use crate::{app::refusal::Refusal, http::error::ApiError};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound { what, name } => Self::not_found(noun(what), &name),
            StoreError::Ambiguous { what, name } => Self::new(Refusal::AmbiguousName, format!(
                "Multiple {}s match {name}; use the id.",
                noun(what).to_lowercase()
            )),
            StoreError::Duplicate { what, field, value } => Self::new(Refusal::Duplicate, format!(
                "{field}: a {what} with {field} {value} exists already."
            )),
            StoreError::InUse { what, name, by } => {
                Self::new(Refusal::InUse, format!("{} {name} is in use by {by}.", noun(what)))
            }
            StoreError::SiteChanged { site } => Self::new(Refusal::ChangedMeanwhile, format!(
                "Site {site} was changed by another request: look at it with 'openstack dr site show {site}', and try again."
            )),
            StoreError::OverQuota { of, limit, used } => Self::new(Refusal::OverQuota, format!(
                "Quota exceeded for {of}: Requested 1, but already used {used} of {limit} {of}. {}, or ask an operator of this site for more ('[quota] {of}').",
                instead(of)
            )),
            StoreError::Locked {
                kind,
                resource_id,
                by_operation,
            } => Self::new(Refusal::Busy, locked(kind, &resource_id, by_operation.as_str())),
            StoreError::GroupChanged { .. } | StoreError::GroupDiffers { .. } => {
                Self::new(Refusal::ChangedMeanwhile, format!("{text}."))
            }
            StoreError::Unchangeable { name, status } => Self::new(Refusal::Busy, format!(
                "Protection group {name} is {status}: it cannot be changed now."
            )),
            StoreError::Deleted { at } => Self::new(Refusal::GroupDeleted, format!(
                "The protection group was deleted here at {}; delete it on the other site too, or send 'sync-force' there to have it here again.",
                Timestamp(at)
            )),
            StoreError::PeerRetired { at } => Self::new(Refusal::SiteRetired, format!(
                "This site has retired the other one at {}: what that one says of protection groups from before is not taken over. Where it is back, delete the group there with 'openstack dr protection-group delete', and protect its VMs anew.",
                Timestamp(at)
            )),
            StoreError::SiteRetired { site } => Self::new(Refusal::SiteRetired, format!(
                "Site {site} is retired here: nothing that it says is taken over. Where another site has taken its name, an administrator here forgets the old one with 'openstack dr site delete {site}' and registers the new one; then push again."
            )),
            StoreError::NotLinked { one, other } => Self::new(Refusal::NotLinked, format!(
                "Project {} on {} and project {} on {} are not linked on this site: an administrator links them, on both sites, with 'openstack dr tenant mapping create --primary-site {} --primary-project {} --secondary-site {} --secondary-project {}'.",
                one.project_id,
                one.site,
                other.project_id,
                other.site,
                one.site,
                one.project_id,
                other.site,
                other.project_id
            )),
            StoreError::QuotaExceeded { .. } => Self::new(Refusal::OverQuota, format!(
                "{text}; an operator of this site may raise it."
            )),
            StoreError::NoSiteOfGroup { .. } => Self::bad_request(format!("site: {text}.")),
            StoreError::Unrecovered { group, member } => Self::new(Refusal::NotRecovered, format!(
                "Member {member} of protection group {group} was not recovered by the last move, and what is left of it may be an import or a recovery point alone, which nothing brings up once it has left the group: 'openstack dr retry {group}' recovers it; if it may be given up, 'openstack dr member remove {group} {member} --give-up' (give_up) takes it out and touches nothing."
            )),
            StoreError::Protected(protection) => Self::new(Refusal::ProtectedAlready, format!(
                "server_id: {} is in protection group {} already; one group only moves a server with its volumes: take it out of that group first, with 'openstack dr member remove'.",
                protection.resource, protection.group_name
            )),
            StoreError::Named {
                resource,
                by_operation,
            } => Self::new(Refusal::NamedByOperation, format!(
                "server_id: operation {by_operation} has to do with {resource} and has not ended: it may delete it, or have just made it; watch it with 'openstack dr operation show {by_operation}', and try again when it has ended."
            )),
            StoreError::OwnOperation(id) => Self::new(Refusal::OwnOperation, format!(
                "Operation {id} is this site's own; no other site has a newer record of it."
            )),
            StoreError::Reserved { by_site, .. } => Self::new(Refusal::Busy, format!(
                "The protection group is being moved from {by_site} at this moment; 'openstack dr operation list' there shows by what. Try again in a minute."
            )),
            StoreError::TooLong { column } => Self::bad_request(format!(
                "{column}: the value is too long to be kept; send a shorter one."
            )),
            StoreError::BadDocument(why) => Self::bad_request(format!("metadata.document: {why}.")),
            StoreError::MarkerNotFound(marker) => Self::bad_request(format!(
                "marker: no entry of this list has the id {marker}."
            )),
            StoreError::Busy(_) | StoreError::Unavailable(_) => {
                Self::new(Refusal::DatabaseFails, "The database of protector is temporarily unavailable.")
                    .with_detail(text)
            }
            StoreError::Failing {
                failure: DatabaseFailure::BrokenOff,
                ..
            } => Self::new(Refusal::DatabaseFails, "The database of protector broke the request's query off, since it took too long or the database was stopped: try again later, and ask a list for less, with 'limit' or by a filter.",
            )
            .with_detail(text),
            StoreError::Failing { failure, .. } => Self::new(Refusal::DatabaseFails, format!(
                "The database of protector cannot be used: {failure}; an operator of this site has to see to it."
            ))
            .with_detail(text),
            StoreError::Sealed(_) => Self::new(Refusal::SealedText, format!(
                "What protector keeps encrypted cannot be read; an operator of this site has to see to it. {text}."
            )),
            StoreError::SchemaBehind { .. }
            | StoreError::SchemaAhead(_)
            | StoreError::BadConnection(_)
            | StoreError::Secret(_)
            | StoreError::PlanningDiffers(_)
            | StoreError::Unreadable(_)
            | StoreError::Database(_) => Self::internal(text),
        }
    }
}

fn locked(kind: LockKind, resource: &str, operation: &str) -> String {
    match kind {
        LockKind::Group => format!(
            "Protection group {resource} is busy: operation {operation} has not ended; watch it with 'openstack dr operation show {operation}'."
        ),
        LockKind::CleanupOf => format!(
            "Operation {resource} is being cleaned up by operation {operation}; watch it with 'openstack dr operation show {operation}'."
        ),
    }
}

/// What a tenant can do about a quota.
fn instead(of: QuotaOf) -> &'static str {
    match of {
        QuotaOf::ProtectionGroups => {
            "Delete one that is not needed with 'openstack dr protection-group delete'"
        }
        QuotaOf::MembersPerGroup => {
            "Protect the server in another group with 'openstack dr protection-group create'"
        }
        QuotaOf::OpenOperations => {
            "Wait until one has ended ('openstack dr operation list --status running')"
        }
    }
}

fn noun(what: Noun) -> &'static str {
    match what {
        Noun::Site => "Site",
        Noun::TenantMapping => "Tenant mapping",
        Noun::Group => "Protection group",
        Noun::Member => "Member",
        Noun::Policy => "Replication policy",
        Noun::Operation => "Operation",
    }
}

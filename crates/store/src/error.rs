//! Why the store could not do what was asked.

use std::fmt;

use chrono::{DateTime, Utc};
use protector_core::{
    confidential::StillSealed,
    group::GroupStatus,
    id::{OperationId, SiteName},
    journal::{JournalError, Protection},
    site::SiteScope,
};
use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::{
    database_failure::{Ailment, DatabaseFailure},
    lock_kind::LockKind,
    quotas::QuotaOf,
    secrets::SecretError,
};

/// A kind of thing that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Site,
    TenantMapping,
    Group,
    /// A member of a protection group.
    Member,
    Policy,
    Operation,
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Site => "site",
            Self::TenantMapping => "tenant mapping",
            Self::Group => "protection group",
            Self::Member => "member",
            Self::Policy => "replication policy",
            Self::Operation => "operation",
        })
    }
}

/// Why the store could not do what was asked. No variant carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing, or not in this project.
    #[error("{what} {name} could not be found")]
    NotFound {
        /// What was looked for.
        what: Noun,
        /// The name or id it was looked for by.
        name: String,
    },
    /// A name without an owner of its own was given by several things; only an id tells them apart.
    #[error("more than one {what} is called {name}: use the id")]
    Ambiguous {
        /// What was looked for.
        what: Noun,
        name: String,
    },
    /// Something else has this name, id or key already.
    #[error("a {what} with {field} {value} exists already")]
    Duplicate {
        /// What was to be kept.
        what: Noun,
        /// Which field must be unique.
        field: &'static str,
        value: String,
    },
    /// It cannot be removed or renamed while something refers to it.
    #[error("{what} {name} is in use by {by}")]
    InUse {
        /// What was to be removed or renamed.
        what: Noun,
        name: String,
        /// What refers to it.
        by: String,
    },
    /// Where a site's password goes was changed by another request.
    #[error("site {site} was changed by another request")]
    SiteChanged { site: SiteName },
    /// The project has as much of it as it may have.
    #[error("quota exceeded for {of}: {used} of {limit} are used")]
    OverQuota {
        of: QuotaOf,
        /// How many there may be.
        limit: u64,
        /// How many there are.
        used: u64,
    },
    /// An operation that has not ended holds a lock on the resource.
    #[error("{kind} {resource_id} is locked by operation {by_operation}")]
    Locked {
        kind: LockKind,
        resource_id: String,
        /// The operation that holds the lock.
        by_operation: OperationId,
    },
    /// The group is not as it was when the caller looked: another request was faster. Read it and decide again.
    #[error(
        "the protection group was changed by another request: it is {status} at version {version} now"
    )]
    GroupChanged { status: GroupStatus, version: u64 },
    /// The group is brought to its other site, or its VMs may run on both: nobody changes it meanwhile.
    #[error("protection group {name} is {status}: it cannot be changed now")]
    Unchangeable { name: String, status: GroupStatus },
    /// The other site is about to move the group.
    #[error("the protection group is reserved by {by_site} until {until}")]
    Reserved {
        by_site: SiteName,
        /// When the reservation ends by itself.
        until: DateTime<Utc>,
    },
    /// The other site speaks of another state of the group than the one that is kept here.
    #[error(
        "the group has version {held} here, not the version {known} that was named, or says something else"
    )]
    GroupDiffers {
        /// The version kept here.
        held: u64,
        /// The version that was named.
        known: u64,
    },
    /// The group was deleted here.
    #[error("the protection group was deleted here at {at}")]
    Deleted { at: DateTime<Utc> },
    /// The site that speaks of the group was retired here, and the group is from before that.
    #[error("the other site was retired here at {at}")]
    PeerRetired { at: DateTime<Utc> },
    /// The site that speaks is retired here, and still registered: nothing that it says is taken over.
    #[error("site {site} is retired here")]
    SiteRetired { site: SiteName },
    /// Another site speaks of a group that is not known here, in two projects that no administrator of this site has linked.
    #[error("project {} on {} and project {} on {} are not linked here", .one.project_id, .one.site, .other.project_id, .other.site)]
    NotLinked { one: SiteScope, other: SiteScope },
    /// The site that speaks of the group is neither of its sites.
    #[error("site {site} is neither of the protection group's")]
    NoSiteOfGroup { site: SiteName },
    /// As much as may be is kept of what another site sends.
    #[error(
        "Quota exceeded for {what} of {of}: {limit} are kept, and no more is taken ([quota] {option})"
    )]
    QuotaExceeded {
        what: &'static str,
        of: String,
        /// How many may be kept.
        limit: u64,
        /// The option that says so.
        option: &'static str,
    },
    /// The last move did not recover the member: a retry needs it, unless somebody gives it up.
    #[error("member {member} of protection group {group} was not recovered by the last move")]
    Unrecovered { group: String, member: String },
    /// A protection group protects the server or volume.
    #[error("protection group {} protects {}", .0.group_name, .0.resource)]
    Protected(Protection),
    /// An operation that has not ended names the server or volume: it may delete it, or have just made it.
    #[error("operation {by_operation} has to do with {resource} and has not ended")]
    Named {
        /// The id of the server or volume.
        resource: String,
        by_operation: OperationId,
    },
    /// The operation is this site's own.
    #[error("operation {0} is this site's own")]
    OwnOperation(OperationId),
    /// A metadata document is not one, or is of another group.
    #[error("the metadata document is not valid: {0}")]
    BadDocument(String),
    /// The marker of a list is not the id of anything in that list.
    #[error("marker {0} could not be found")]
    MarkerNotFound(String),
    /// The database's schema is not this build's.
    #[error(
        "the database schema is older than this build ({pending} of {known} migrations are missing): run 'protector-manage db sync'"
    )]
    SchemaBehind {
        /// How many migrations are missing.
        pending: usize,
        /// How many this build knows.
        known: usize,
    },
    /// The database was migrated by a newer build.
    #[error(
        "the database schema is newer than this build (migration {0} is not known): upgrade protector on this host"
    )]
    SchemaAhead(String),
    /// `[database] connection` cannot be used.
    #[error("[database] connection: {0}")]
    BadConnection(String),
    /// A secret cannot be encrypted or read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What was asked for needs a text that is sealed and cannot be opened.
    #[error(transparent)]
    Sealed(#[from] StillSealed),
    /// An operation and its lines do not say the same of its planning: a defect of protector.
    #[error("operation {0} is not planned as its lines are")]
    PlanningDiffers(OperationId),
    /// What is stored cannot be understood by this build.
    #[error("the database holds what this build cannot read: {0}")]
    Unreadable(String),
    /// Another writer was in the way, and still was after several tries.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database cannot be reached.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database answers and cannot do what is right: it passes when somebody sees to it.
    #[error("{failure}: {says}")]
    Failing {
        failure: DatabaseFailure,
        says: String,
    },
    /// A value is longer than its column.
    #[error("a value is too long for column {column}")]
    TooLong { column: String },
    /// The database refused a statement: a defect of protector.
    #[error("database error: {0}")]
    Database(String),
}

impl StoreError {
    /// A missing `what` called `name`.
    pub(crate) fn not_found(what: Noun, name: impl fmt::Display) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    /// Turns a broken unique key into "exists already"; leaves other errors as they are.
    pub(crate) fn unless_duplicate(
        error: DbErr,
        what: Noun,
        field: &'static str,
        value: impl fmt::Display,
    ) -> Self {
        if is_duplicate(&error) {
            return Self::Duplicate {
                what,
                field,
                value: value.to_string(),
            };
        }
        error.into()
    }
}

/// Whether `error` is a broken unique or primary key.
pub(crate) fn is_duplicate(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
    )
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) => Self::Unavailable(error.to_string()),
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => from_sqlx(inner, error.to_string()),
            DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => {
                Self::Unreadable(error.to_string())
            }
            _ => Self::Database(error.to_string()),
        }
    }
}

fn from_sqlx(inner: &sqlx::Error, text: String) -> StoreError {
    match inner {
        sqlx::Error::Database(refusal) => match Ailment::of(refusal.as_ref()) {
            Some(Ailment::Busy) => StoreError::Busy(text),
            Some(Ailment::Failing(failure)) => StoreError::Failing {
                failure,
                says: text,
            },
            None => match too_long_for(refusal.as_ref()) {
                Some(column) => StoreError::TooLong { column },
                None => StoreError::Database(text),
            },
        },
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Unreadable(text),
        _ => StoreError::Unavailable(text),
    }
}

/// The column for which a value was too long. SQLite takes any.
fn too_long_for(refusal: &dyn sqlx::error::DatabaseError) -> Option<String> {
    /// MySQL's "Data too long for column 'name' at row 1".
    const DATA_TOO_LONG: u16 = 1406;
    let refusal = refusal.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    let says = refusal.message();
    (refusal.number() == DATA_TOO_LONG).then(|| says.split('\'').nth(1).unwrap_or(says).to_owned())
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(why) | StoreError::Unavailable(why) => Self::Unavailable(why),
            failing @ StoreError::Failing { .. } => Self::Unavailable(failing.to_string()),
            StoreError::Protected(protection) => Self::Protected(protection),
            other => Self::Unreadable(other.to_string()),
        }
    }
}

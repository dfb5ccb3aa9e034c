//! The table of refusals: every code that the API answers with, its status, what it means and what to do.
//!
//! A program decides by the code; the sentence beside it is for people, and may change. [`page`] is `docs/refusals.md`, and the
//! codes stand in the OpenAPI document.

use std::fmt::Write as _;

use http::StatusCode;

macro_rules! refusals {
    ($($name:ident = $code:literal, $kind:ident, $means:literal, $cure:literal;)+) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal {
            $(#[doc = $means] $name,)+
        }

        impl Refusal {
            /// All of them, by status.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        code: concat!("PRT-", $code),
                        kind: RefusalKind::$kind,
                        means: $means,
                        cure: $cure,
                    },)+
                }
            }
        }
    };
}

/// What the table says of a refusal.
struct Row {
    code: &'static str,
    kind: RefusalKind,
    means: &'static str,
    cure: &'static str,
}

refusals! {
    InvalidRequest = "INVALID-REQUEST", BadRequest,
        "A field, a parameter or a header of the request is not as it may be.",
        "The sentence begins with the name of the field and says what it may be.";
    Unauthenticated = "UNAUTHENTICATED", Unauthorized,
        "The request has no valid token.",
        "Get a new token; the client does so by itself.";
    PolicyForbids = "POLICY-FORBIDS", Forbidden,
        "The policy file does not let this user do it.",
        "The sentence names the rule: ask an operator for a role that it allows.";
    TokenWithoutProject = "TOKEN-WITHOUT-PROJECT", Forbidden,
        "The token is for no project.",
        "Ask Keystone for one that is scoped to a project.";
    OverQuota = "OVER-QUOTA", Forbidden,
        "The project has as much of something as `[quota]` lets it have, or the site keeps as much of another one's as it may.",
        "Remove what is not needed, or ask an operator for more.";
    PeerNotKnown = "PEER-NOT-KNOWN", Forbidden,
        "Who calls is not the other site's protector, or for a site that is not registered here.",
        "`[DEFAULT] peer_user_ids`, or `openstack dr site create`, on the site that refuses.";
    PeerSignature = "PEER-SIGNATURE", Forbidden,
        "A call between the protectors is not signed, is signed for another site, or was changed on its way.",
        "[Keys of the protectors](operator-guide.md#keys-of-the-protectors). If nothing there fits, somebody uses a stolen token.";
    PeerKeyChanged = "PEER-KEY-CHANGED", Forbidden,
        "The other protector signs with another key than the one that is pinned.",
        "If it was changed on purpose: the command of the sentence. If not, somebody else may speak for that site.";
    PeerClock = "PEER-CLOCK", Forbidden,
        "A call between the protectors was signed at another time than this site has.",
        "Set the clocks right.";
    NotFound = "NOT-FOUND", NotFound,
        "What the request names does not exist, or not for this project.",
        "Look the name up with the `list` of its kind.";
    NoPolicyYet = "NO-REPLICATION-POLICY", NotFound,
        "The protection group has no replication policy.",
        "`openstack dr policy create`.";
    NoSuchPath = "NO-SUCH-PATH", NotFound,
        "The API has no such path.",
        "`GET /` lists the versions; [the reference](api-reference.md) the paths.";
    NeedsNewerVersion = "NEEDS-NEWER-VERSION", NotFound,
        "The call is there from a newer API version on than the request speaks.",
        "Send the header of the sentence.";
    NoSuchMethod = "NO-SUCH-METHOD", MethodNotAllowed,
        "The path exists, and this method on it does not.",
        "See [the reference](api-reference.md).";
    VersionNotSpoken = "VERSION-NOT-SPOKEN", NotAcceptable,
        "The API does not speak the version that was asked for.",
        "Ask for one between the two of the sentence.";
    VersionPassed = "VERSION-PASSED", PreconditionFailed,
        "The group was changed since it was read: `If-Match` names another version than the one that counts.",
        "Read it again, decide again, send it again.";
    TooLarge = "TOO-LARGE", TooLarge,
        "The body is larger than `[oslo_middleware] max_request_body_size`.",
        "Send less.";
    TooSlow = "TOO-SLOW", TooSlow,
        "The body did not come in time.",
        "Send it again.";
    NotJson = "NOT-JSON", UnsupportedMediaType,
        "The body is not said to be JSON.",
        "`Content-Type: application/json`.";
    TooManyRequests = "TOO-MANY-REQUESTS", TooMany,
        "The project asks more than its share.",
        "Wait as long as `Retry-After` says.";
    Internal = "INTERNAL", Internal,
        "A defect of protector.",
        "Report it with the request id.";
    KeystoneSilent = "KEYSTONE-SILENT", Unavailable,
        "Keystone does not say whose the token is.",
        "Try again; an operator sees to Keystone.";
    DatabaseFails = "DATABASE-FAILS", Unavailable,
        "The database of protector does not answer, or cannot be written.",
        "Look first: what was asked for may have been done, its answer being lost. If it stays so, an operator sees to it.";
    SealedText = "SEALED-TEXT", Unavailable,
        "What protector keeps encrypted cannot be read.",
        "An operator copies the key that the sentence names from a host that has it, or from its backup.";
    ArraySilent = "ARRAY-SILENT", Unavailable,
        "An array does not answer what has to be known.",
        "Try again when it does.";
    CloudSilent = "CLOUD-SILENT", Unavailable,
        "Nova, Cinder, Neutron or Keystone of a site does not answer.",
        "Try again when it does: `openstack dr site validate` says what is wrong.";
    PeerSilent = "PEER-SILENT", Unavailable,
        "The other site does not tell what has to be known.",
        "The sentence has both ways on: wait for it, or say that it is lost.";
    CloudRefuses = "CLOUD-REFUSES", Conflict,
        "A cloud refuses what the request needs.",
        "Its own words are in the sentence.";
    ArrayRefuses = "ARRAY-REFUSES", Conflict,
        "An array refuses what the request needs.",
        "Its own words are in the sentence.";
    OwnOperation = "OWN-OPERATION", Conflict,
        "Another site speaks of an operation that this site runs.",
        "Nothing: this site's record counts.";
    AmbiguousName = "AMBIGUOUS-NAME", Conflict,
        "Several things have the name.",
        "Use the id.";
    Duplicate = "DUPLICATE", Conflict,
        "There is one already.",
        "Another name, or use that one.";
    InUse = "IN-USE", Conflict,
        "Something else rests on it.",
        "Remove what the sentence names first.";
    ChangedMeanwhile = "CHANGED-MEANWHILE", Conflict,
        "It was changed while the request was looked at.",
        "Look at it, and try again.";
    Busy = "BUSY", Conflict,
        "An operation, here or on the other site, works on it at this moment.",
        "Watch the operation that the sentence names; try again when it has ended.";
    WrongStatus = "WRONG-STATUS", Conflict,
        "The status of the group does not allow it.",
        "The sentence names the statuses that do, and what leads out of this one.";
    WrongDirection = "WRONG-DIRECTION", Conflict,
        "The group is not where a move of this kind begins.",
        "The sentence has the command of the other direction.";
    SplitBrain = "SPLIT-BRAIN", Conflict,
        "VMs of the group run on the site that it has left.",
        "Stop them first: `openstack dr fence`.";
    NothingToDo = "NOTHING-TO-DO", Conflict,
        "There is nothing that this action is for.",
        "The sentence says what there is instead.";
    NotTheLast = "NOT-THE-LAST", Conflict,
        "Another operation was to move the group after this one.",
        "The sentence names it.";
    NotLost = "NOT-LOST", Conflict,
        "The site that the request says is lost answers.",
        "Without that word the request does more, and safely.";
    SiteSilent = "SITE-SILENT", Conflict,
        "A site that has to be asked does not answer, and nobody has said that it is lost.",
        "Wait for it; or say that it is lost, as the sentence does, which says all it means.";
    WrongSite = "WRONG-SITE", Conflict,
        "The request is for the other site.",
        "Send it there: the sentence has the command.";
    CopiesInTheWay = "COPIES-IN-THE-WAY", Conflict,
        "VMs stand in the way that may be in use, on one site or on both.",
        "Each is named with the command for it.";
    LeftoversFirst = "LEFTOVERS-FIRST", Conflict,
        "What an earlier failover has left is where the group would go.",
        "Finish its cleanup.";
    FirstCopy = "FIRST-COPY", Conflict,
        "The target's array has no full copy of each volume yet.",
        "The sentence says how far it is; `--action sync` begins it.";
    BeingCleanedUp = "BEING-CLEANED-UP", Conflict,
        "Another operation is at what this one has left.",
        "Watch that one.";
    NotEnded = "OPERATION-NOT-ENDED", Conflict,
        "What an operation leaves is not known before it has ended.",
        "Wait for its end.";
    NotCleanable = "NOT-CLEANABLE", Conflict,
        "A cleanup of this operation would do nothing, or harm.",
        "The sentence says which to clean up, or what to look at.";
    NotAdoptable = "NOT-ADOPTABLE", Conflict,
        "Only what a failed failover or failback has made can be adopted.",
        "The sentence names what there is.";
    NotAbortable = "NOT-ABORTABLE", Conflict,
        "The operation can no longer be given up, or never could.",
        "The sentence says what undoes it now.";
    NotPaused = "NOT-PAUSED", Conflict,
        "The operation does not wait for a person.",
        "`openstack dr operation show` shows its phase.";
    NotMovable = "NOT-MOVABLE", Conflict,
        "The group lacks what a move needs, or a server of it cannot be carried.",
        "The sentence names each with its cure.";
    NotFaithful = "NOT-FAITHFUL", Conflict,
        "The group is strict, and a copy would not be as its original in what nobody has announced.",
        "Each member and field is named: mend it there, map it, or `--fidelity told`.";
    ServerStatus = "SERVER-STATUS", Conflict,
        "A server is added while it is ACTIVE or SHUTOFF.",
        "Wait until it is.";
    NotRecovered = "NOT-RECOVERED", Conflict,
        "The last move has not recovered the member.",
        "`openstack dr retry`, or give it up.";
    ServerGone = "SERVER-GONE", Conflict,
        "The member's server does not exist any more.",
        "Take the member out of the group.";
    VolumeHidden = "VOLUME-HIDDEN", Conflict,
        "A volume of the server is not shown to the project.",
        "See whose it is.";
    ProtectedAlready = "PROTECTED-ALREADY", Conflict,
        "Another group protects the server or one of its volumes.",
        "Take it out of that one first.";
    NamedByOperation = "NAMED-BY-OPERATION", Conflict,
        "An operation has to do with the server or one of its volumes: it may delete it, or have just made it.",
        "Wait for its end.";
    TestIsUp = "TEST-IS-UP", Conflict,
        "The copies of a test failover are up.",
        "Remove them: `--action test-cleanup`.";
    NoTestToCleanUp = "NO-TEST-TO-CLEAN-UP", Conflict,
        "The operation is no test failover whose copies are up.",
        "The sentence says how it stands.";
    PeerUnreachable = "PEER-UNREACHABLE", Conflict,
        "The other site's protector does not answer, and both have to agree.",
        "Wait for it; see `sync-status`, then `sync-force`. `[engine] cleanup_requires_peer = false` lets a site clean up alone.";
    PeerRefuses = "PEER-REFUSES", Conflict,
        "The other site's protector answers and refuses. It is not lost.",
        "Its reason is in the sentence.";
    OutOfSync = "OUT-OF-SYNC", Conflict,
        "The two sites do not hold the same of the group.",
        "It is pushed within seconds: try again. `sync-status` shows when they agree.";
    MetadataConflict = "METADATA-CONFLICT", Conflict,
        "The group was changed on both sites since they last agreed.",
        "Decide which view counts, and send `sync-force` there: [metadata sync](metadata-sync.md).";
    GroupDeleted = "GROUP-DELETED", Conflict,
        "The group was deleted on one site.",
        "Delete it on the other one too, or `sync-force` it from there.";
    SiteRetired = "SITE-RETIRED", Conflict,
        "One of the two sites was retired.",
        "Delete the group there, and protect its VMs anew.";
    RetirementBlocked = "RETIREMENT-BLOCKED", Conflict,
        "Something has to be done before the site is retired.",
        "Each thing is named with its command.";
    NotLinked = "NOT-LINKED", Conflict,
        "No tenant mapping joins the two projects.",
        "An administrator makes one, on both sites: the command is in the sentence.";
    PeerKeyDiffers = "PEER-KEY-DIFFERS", Conflict,
        "The other protector signs with another key than the one that was to be pinned, or signs nothing.",
        "Compare with what `protector-manage signing-key show` prints there.";
    SaidBefore = "SAID-BEFORE", Conflict,
        "A message between the protectors was said before and does nothing now.",
        "Nothing: it is not said again.";
}

impl Refusal {
    /// The code, as programs compare it.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Its kind, and so its HTTP status.
    pub fn kind(self) -> RefusalKind {
        self.row().kind
    }
}

/// The page of the manual.
pub fn page() -> String {
    let mut page = String::from(
        "# Refusals of the API\n\n<!-- Written by make generate from crates/api/src/app/refusal.rs; do not edit. -->\n\n\
         Every request that is refused is answered in one form: a key that names the kind, and in it the HTTP status, the code and\n\
         a sentence. A program decides by the code; the sentence names the field, or what stands in the way, and the fix.\n\n    \
         {\"conflictingRequest\": {\"code\": 409, \"error_code\": \"PRT-BUSY\", \"message\": \"Operation … is running; …\"}}\n\n\
         A request that is refused has changed nothing, unless its row says otherwise. [The sentences](errors.md), for who searches one.\n\n\
         | status | code | what it means | what to do |\n| --- | --- | --- | --- |\n",
    );
    for refusal in Refusal::ALL {
        let Row {
            code,
            kind,
            means,
            cure,
        } = refusal.row();
        let status = kind.status().as_u16();
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {status} | `{code}` | {means} | {cure} |");
    }
    page
}

/// The kinds of refusal, each with its HTTP status and the key of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request itself is wrong.
    BadRequest,
    Unauthorized,
    /// A valid token that does not suffice.
    Forbidden,
    /// The thing does not exist, or not for this project.
    NotFound,
    /// The path exists, this method on it does not.
    MethodNotAllowed,
    /// The API version asked for is not one that this service speaks.
    NotAcceptable,
    /// The request rests on a version that is not the current one any more.
    PreconditionFailed,
    /// The request is right but not now: a state, a name that is taken, an operation under way.
    Conflict,
    /// The body is larger than `[oslo_middleware] max_request_body_size`.
    TooLarge,
    /// The project asks more than its share.
    TooMany,
    /// The body did not come in time.
    TooSlow,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// A defect of protector. Never the user's doing.
    Internal,
    /// Keystone, a cloud or the database does not answer.
    Unavailable,
}

impl RefusalKind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::BadRequest => "badRequest",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "itemNotFound",
            Self::MethodNotAllowed => "badMethod",
            Self::NotAcceptable => "notAcceptable",
            Self::PreconditionFailed => "preconditionFailed",
            Self::Conflict => "conflictingRequest",
            Self::TooLarge | Self::TooMany => "overLimit",
            Self::TooSlow => "requestTimeout",
            Self::UnsupportedMediaType => "unsupportedMediaType",
            Self::Internal => "serviceFault",
            Self::Unavailable => "serviceUnavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn no_two_refusals_have_one_code() {
        let codes: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
    }

    #[test]
    fn the_manual_has_the_page() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/refusals.md");
        assert!(
            fs::read_to_string(path).unwrap_or_default() == page(),
            "docs/refusals.md is out of date; 'make generate' writes it"
        );
    }
}

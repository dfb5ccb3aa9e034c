//! Who may call what: every call of the API, by role, on the own project's things and on another project's.
//!
//! [`MATRIX`] is the product's promise; each of its cells is tried. A route without a row fails
//! `every_call_has_its_row`.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use crate::{
    fakes::{OTHER_PROJECT, PROJECT_A},
    house::Answer,
    matrix_place::Place,
};

/// The roles, in the order of the columns; `nobody` has no token, `auditor` is a role that the policy does not name.
const ROLES: [&str; 8] = [
    "nobody",
    "auditor",
    "reader",
    "member",
    "admin",
    "service",
    "dr_site_admin",
    "peer",
];

/// The roles with which another project's token tries.
const STRANGERS: [&str; 7] = [
    "auditor",
    "reader",
    "member",
    "admin",
    "service",
    "dr_site_admin",
    "peer",
];

/// What each call answers. First by role, with a token of the project that owns the thing. Then what a token of another
/// project gets, whatever its role: `path` when it names the owner's project in the path, `thing` when it names its
/// own project and the owner's thing. `=` says that the call is not about a project's things: another project's token
/// gets what the owner's gets; `-` that there is no thing to name.
///
/// 404 never says whether the thing exists. 409 is for who may, and cannot in the state of the group.
const MATRIX: &str = "
== versions                                                                         nobody auditor reader member admin service siteadm peer   path thing
GET    /                                                                            300    300     300    300    300   300     300     300       =    -
GET    /v1/                                                                         200    200     200    200    200   200     200     200       =    -
GET    /v1/openapi.json                                                             200    200     200    200    200   200     200     200       =    -
GET    /healthcheck                                                                 200    200     200    200    200   200     200     200       =    -
GET    /v1/health                                                                   401    403     200    200    200   403     200     403       =    -

== sites
GET    /v1/admin/sites                                                              401    403     200    200    200   403     200     403       =    -
POST   /v1/admin/sites                                                              401    403     403    403    201   403     403     403       =    -
GET    /v1/admin/sites/{site}                                                       401    403     200    200    200   403     200     403       =    -
PUT    /v1/admin/sites/{site}                                                       401    403     403    403    200   403     403     403       =    -
DELETE /v1/admin/sites/{site}                                                       401    403     403    403    204   403     403     403       =    -
POST   /v1/admin/sites/{site}/retire                                                401    403     403    403    409   403     403     403       =    -
POST   /v1/admin/sites/{site}/retire dry_run                                        401    403     403    403    200   403     403     403       =    -
POST   /v1/admin/sites/{site}/validate                                              401    403     403    403    200   403     403     403       =    -
GET    /v1/admin/sites/{site}/volume-types                                          401    403     403    403    200   403     403     403       =    -
POST   /v1/admin/sites/{site}/failover                                              401    403     403    403    202   403     202     403       =    -
POST   /v1/admin/sites/{site}/failover dry_run                                      401    403     403    403    200   403     200     403       =    -
GET    /v1/admin/tenant-mappings                                                    401    403     403    403    200   403     403     403       =    -
POST   /v1/admin/tenant-mappings                                                    401    403     403    403    201   403     403     403       =    -
GET    /v1/admin/tenant-mappings/{mapping}                                          401    403     403    403    200   403     403     403       =    -
DELETE /v1/admin/tenant-mappings/{mapping}                                          401    403     403    403    204   403     403     403       =    -

== groups
GET    /v1/{project_id}/protection-groups                                           401    200     200    200    200   200     200     200       404  -
POST   /v1/{project_id}/protection-groups                                           401    403     403    201    201   403     403     403       404  -
GET    /v1/{project_id}/protection-groups/{group}                                   401    200     200    200    200   200     200     200       404  404
PUT    /v1/{project_id}/protection-groups/{group}                                   401    403     403    200    200   403     403     403       404  404
DELETE /v1/{project_id}/protection-groups/{group}                                   401    403     403    204    204   403     403     403       404  404
GET    /v1/{project_id}/protection-groups/{group}/resource-mappings                 401    200     200    200    200   200     200     200       404  404
PUT    /v1/{project_id}/protection-groups/{group}/resource-mappings                 401    403     403    200    200   403     403     403       404  404
GET    /v1/{project_id}/protection-groups/{group}/sync-status                       401    200     200    200    200   200     200     200       404  404
POST   /v1/{project_id}/protection-groups/{group}/sync-force                        401    403     403    202    202   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/reset-status                      401    403     403    200    200   403     403     403       404  404
GET    /v1/{project_id}/protection-groups/{group}/check                             401    200     200    200    200   200     200     200       404  404
GET    /v1/{project_id}/protection-groups/{group}/recovery-plan                     401    200     200    200    200   200     200     200       404  404
PUT    /v1/{project_id}/protection-groups/{group}/recovery-plan                     401    403     403    200    200   403     403     403       404  404

== parts of groups
GET    /v1/{project_id}/protection-groups/{group}/members                           401    200     200    200    200   200     200     200       404  404
POST   /v1/{project_id}/protection-groups/{group}/members                           401    403     403    201    201   403     403     403       404  404
GET    /v1/{project_id}/protection-groups/{group}/members/{member}                  401    200     200    200    200   200     200     200       404  404
GET    /v1/{project_id}/protection-groups/{group}/members/{member}/comparison       401    200     200    200    200   200     200     200       404  404
DELETE /v1/{project_id}/protection-groups/{group}/members/{member}                  401    403     403    204    204   403     403     403       404  404
GET    /v1/{project_id}/protection-groups/{group}/policy                            401    200     200    200    200   200     200     200       404  404
GET    /v1/{project_id}/protection-groups/{group}/recovery-points                   401    200     200    200    200   200     200     200       404  404
POST   /v1/{project_id}/protection-groups/{group}/policy                            401    403     403    201    201   403     403     403       404  404
PUT    /v1/{project_id}/protection-groups/{group}/policy                            401    403     403    200    200   403     403     403       404  404
DELETE /v1/{project_id}/protection-groups/{group}/policy                            401    403     403    204    204   403     403     403       404  404

== operations
POST   /v1/{project_id}/protection-groups/{group}/action failover                   401    403     403    202    202   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action failback                   401    403     403    409    409   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action test_failover              401    403     403    202    202   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action test_cleanup               401    403     403    400    400   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action sync                       401    403     403    202    202   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action retry                      401    403     403    409    409   403     403     403       404  404
POST   /v1/{project_id}/protection-groups/{group}/action fence                      401    403     403    202    202   403     403     403       404  404
GET    /v1/{project_id}/operations                                                  401    200     200    200    200   200     200     200       404  -
GET    /v1/{project_id}/operations/{operation}                                      401    200     200    200    200   200     200     200       404  404
POST   /v1/{project_id}/operations/{operation}/cleanup                              401    403     403    202    202   403     403     403       404  404
POST   /v1/{project_id}/operations/{operation}/resume                               401    403     403    409    409   403     403     403       404  404
POST   /v1/{project_id}/operations/{operation}/abort                                401    403     403    409    409   403     403     403       404  404
POST   /v1/{project_id}/operations/{operation}/adopt                                401    403     403    409    409   403     403     403       404  404
GET    /v1/{project_id}/orphans                                                     401    200     200    200    200   200     200     200       404  -

== metadata: the other site's service user, for the tenant's project in the path
GET    /v1/{project_id}/protection-groups/{group}/metadata                          401    403     403    403    403   403     403     200       =    404
PUT    /v1/{project_id}/protection-groups/{group}/metadata                          401    403     403    403    403   403     403     200       =    400
DELETE /v1/{project_id}/protection-groups/{group}/metadata                          401    403     403    403    403   403     403     204       =    -
PUT    /v1/{project_id}/protection-groups/{group}/metadata/reservations/{site}      401    403     403    403    403   403     403     200       =    404
DELETE /v1/{project_id}/protection-groups/{group}/metadata/reservations/{site}      401    403     403    403    403   403     403     204       =    -
PUT    /v1/{project_id}/operations/{operation}/copy                                 401    403     403    403    403   403     403     400       =    -
GET    /v1/signing-key                                                              401    403     403    403    403   403     403     200       =    -
";

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Status(u16),
    /// The same as with the owner's token.
    Same,
    /// Not tried.
    Without,
}

/// A call, and what it answers.
pub struct Row {
    section: &'static str,
    pub method: Method,
    pub template: &'static str,
    /// Tells the rows of one call apart.
    pub variant: Option<&'static str>,
    by_role: [u16; 8],
    path: Cell,
    thing: Cell,
}

fn rows() -> Vec<Row> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in MATRIX.lines().filter(|line| !line.trim().is_empty()) {
        match line.strip_prefix("== ") {
            Some(rest) => section = rest.split("  ").next().unwrap(),
            None => rows.push(row(section, line)),
        }
    }
    rows
}

fn row(section: &'static str, line: &'static str) -> Row {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (call, cells) = words.split_at(words.len() - 10);
    let by_role: Vec<u16> = cells[..8]
        .iter()
        .map(|cell| cell.parse().unwrap())
        .collect();
    Row {
        section,
        method: call[0].parse().unwrap(),
        template: call[1],
        variant: call.get(2).copied(),
        by_role: by_role.try_into().unwrap(),
        path: cell(cells[8]),
        thing: cell(cells[9]),
    }
}

fn cell(word: &str) -> Cell {
    match word {
        "=" => Cell::Same,
        "-" => Cell::Without,
        status => Cell::Status(status.parse().unwrap()),
    }
}

fn token(role: &str, project: &str) -> String {
    match role {
        "nobody" => String::new(),
        role => format!("{role}@{project}"),
    }
}

fn is_public(row: &Row) -> bool {
    row.by_role[0] < 400
}

/// One call to try.
struct Try<'r> {
    row: &'r Row,
    project: &'static str,
    token: String,
    expected: u16,
    /// Whether the thing must look as if it did not exist.
    hidden: bool,
}

/// What who has stolen a token of the other site's protector, and not its key, gets: what that one gets, and nothing of what
/// the two protectors tell each other, but the key that anybody may know.
fn thiefs(row: &Row) -> u16 {
    let is_a_message = row.section == SECTIONS[5] && row.template != "/v1/signing-key";
    if is_a_message { 403 } else { row.by_role[7] }
}

fn tries<'r>(row: &'r Row) -> Vec<Try<'r>> {
    let with = |project, token, expected, hidden| Try {
        row,
        project,
        token,
        expected,
        hidden,
    };
    let mut tries: Vec<Try<'_>> = ROLES
        .iter()
        .zip(row.by_role)
        .map(|(role, expected)| with(PROJECT_A, token(role, "own"), expected, false))
        .collect();
    tries.push(with(PROJECT_A, token("thief", "own"), thiefs(row), false));
    if !is_public(row) {
        tries.push(with(PROJECT_A, "unscoped".to_owned(), 403, false));
        tries.push(with(PROJECT_A, "nonsense".to_owned(), 401, false));
    }
    for role in STRANGERS {
        let place = ROLES.iter().position(|named| *named == role).unwrap();
        let by_role = row.by_role[place];
        match row.path {
            Cell::Status(status) => {
                tries.push(with(PROJECT_A, token(role, "foreign"), status, true))
            }
            Cell::Same => tries.push(with(PROJECT_A, token(role, "foreign"), by_role, false)),
            Cell::Without => {}
        }
        if let Cell::Status(status) = row.thing {
            // Who may not push metadata at all is told so before anything is looked for.
            let expected = if row.path == Cell::Same && by_role == 403 {
                403
            } else {
                status
            };
            tries.push(with(
                OTHER_PROJECT,
                token(role, "foreign"),
                expected,
                expected == 404,
            ));
        }
    }
    tries
}

/// What changes something and is allowed gets a house of its own; all that is refused must leave one house as it was.
async fn try_section(section: &str) {
    let shared = Place::new().await;
    let before = shared.house.everything().await;
    let mut wrong = Vec::new();
    let rows = rows();
    for row in rows.iter().filter(|row| row.section == section) {
        for attempt in tries(row) {
            let changes = row.method != Method::GET && attempt.expected < 400;
            let answer = if changes {
                run(&Place::new().await, &attempt).await
            } else {
                run(&shared, &attempt).await
            };
            wrong.extend(judge(&shared, &attempt, &answer).await);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cells are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        shared.house.everything().await,
        before,
        "a refused call changed something"
    );
}

async fn run(place: &Place, attempt: &Try<'_>) -> Answer {
    let path = place.path(attempt.row, attempt.project);
    place.call(attempt.row, &path, &attempt.token).await
}

async fn judge(place: &Place, attempt: &Try<'_>, answer: &Answer) -> Option<String> {
    let Try {
        row,
        project,
        token,
        expected,
        hidden,
    } = attempt;
    let status = answer.status.as_u16();
    let variant = row.variant.unwrap_or_default();
    let call = format!(
        "{} {} {variant} as {token:?} on {project}",
        row.method, row.template
    );
    if status != *expected {
        return Some(format!(
            "{call}: {status} instead of {expected}: {}",
            answer.body
        ));
    }
    if !hidden {
        return None;
    }
    // The same call about a thing that does not exist, or in a project that has nothing.
    let path = place.path(row, project);
    let (real, made_up) = if *project == PROJECT_A {
        (
            PROJECT_A.to_owned(),
            "ffffffff000040008000000000000001".to_owned(),
        )
    } else {
        let things = [place.group_of(row), &place.operation];
        let named = things
            .into_iter()
            .find(|thing| path.contains(*thing))
            .unwrap();
        let mut made_up = named.to_owned();
        made_up.replace_range(made_up.len() - 4.., "beef");
        (named.to_owned(), made_up)
    };
    let nothing = place.call(row, &path.replace(&real, &made_up), token).await;
    let (seen, unseen) = (answer.body.to_string(), nothing.body.to_string());
    let same = nothing.status == answer.status && unseen == seen.replace(&real, &made_up);
    (!same).then(|| format!("{call}: tells that it exists: {seen}, and without it {unseen}"))
}

const SECTIONS: [&str; 6] = [
    "versions",
    "sites",
    "groups",
    "parts of groups",
    "operations",
    "metadata: the other site's service user, for the tenant's project in the path",
];

#[tokio::test]
async fn versions_are_for_everybody() {
    try_section(SECTIONS[0]).await;
}

#[tokio::test]
async fn sites_are_for_administrators() {
    try_section(SECTIONS[1]).await;
}

#[tokio::test]
async fn groups_are_for_their_project() {
    try_section(SECTIONS[2]).await;
}

#[tokio::test]
async fn members_and_policies_are_for_their_project() {
    try_section(SECTIONS[3]).await;
}

#[tokio::test]
async fn operations_are_for_their_project() {
    try_section(SECTIONS[4]).await;
}

#[tokio::test]
async fn metadata_is_for_the_other_sites_service() {
    try_section(SECTIONS[5]).await;
}

#[test]
fn every_call_has_its_row() {
    let document = serde_json::to_value(protector_api::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let rows = rows();
    let tried: BTreeSet<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.method, row.template))
        .collect();
    assert_eq!(
        tried, described,
        "a call without a row in MATRIX, or a row without a call"
    );
    let sections: BTreeSet<&str> = rows.iter().map(|row| row.section).collect();
    assert_eq!(sections, BTreeSet::from(SECTIONS));
}

#[test]
fn every_action_has_its_row() {
    let document = serde_json::to_value(protector_api::openapi()).unwrap();
    let schema = &document["components"]["schemas"]["Action"]["oneOf"];
    let verbs: BTreeSet<String> = schema
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|variant| variant["required"].as_array().unwrap())
        .map(|verb| verb.as_str().unwrap().to_owned())
        .collect();
    let rows = rows();
    let actions = rows.iter().filter(|row| row.template.ends_with("/action"));
    let tried: BTreeSet<String> = actions
        .filter_map(|row| row.variant)
        .map(str::to_owned)
        .collect();
    assert_eq!(tried, verbs);
}

#[tokio::test]
async fn a_withdrawal_that_names_another_project_withdraws_nothing() {
    let place = Place::new().await;
    let before = place.house.everything().await;
    for rest in ["", "/reservations/site-b"] {
        let path = format!(
            "/v1/{OTHER_PROJECT}/protection-groups/{}/metadata{rest}{}",
            place.group,
            if rest.is_empty() {
                place.known()
            } else {
                String::new()
            },
        );
        place.house.delete(&path, "service").await.expect(204);
    }
    assert_eq!(place.house.everything().await, before);
}

#[tokio::test]
async fn lists_filters_and_markers_tell_nothing_of_another_project() {
    let place = Place::new().await;
    let own = |rest: &str| format!("/v1/{OTHER_PROJECT}/{rest}");
    for (list, noun) in [
        ("protection-groups", "protection_groups"),
        ("operations", "operations"),
        ("orphans", "orphans"),
    ] {
        let answer = place
            .house
            .get(&own(list), "admin@foreign")
            .await
            .expect(200);
        assert_eq!(answer.body[noun], json!([]), "{list}");
    }
    let named = [
        (format!("operations?protection_group={}", place.group), 404),
        (format!("orphans?protection_group={}", place.group), 404),
        (format!("operations?marker={}", place.operation), 400),
        (format!("protection-groups?marker={}", place.group), 400),
    ];
    for (query, status) in named {
        let (_, thing) = query.split_once('=').unwrap();
        let mut made_up = thing.to_owned();
        made_up.replace_range(made_up.len() - 4.., "beef");
        let seen = place
            .house
            .get(&own(&query), "admin@foreign")
            .await
            .expect(status);
        let other = query.replace(thing, &made_up);
        let unseen = place
            .house
            .get(&own(&other), "admin@foreign")
            .await
            .expect(status);
        assert_eq!(seen.message().replace(thing, &made_up), unseen.message());
    }
}

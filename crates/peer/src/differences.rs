//! What two sites' metadata of a group differ in, in words that a tenant knows from the commands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Fields of the group that differ without anybody having changed anything.
const OF_THE_RECORD: [&str; 5] = [
    "id",
    "version",
    "created_at",
    "updated_at",
    "last_replication_at",
];
/// The same of a member and of a policy.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Names what differs between the metadata `ours` of the site `here` and `theirs` of the site `there`. Fields of the
/// group come first, then the policy, then members by name.
pub fn differs(ours: &Value, theirs: &Value, here: &str, there: &str) -> Vec<String> {
    let sites = Sites { here, there };
    let mut found = of_group(&ours["group"], &theirs["group"]);
    found.extend(sites.of_policy(&ours["policy"], &theirs["policy"]));
    found.extend(sites.of_members(&ours["members"], &theirs["members"]));
    // What the group's object has beside: parts that later releases add.
    let parts = ["group", "policy", "members"];
    found.extend(changed_fields(ours, theirs, &parts));
    found
}

struct Sites<'s> {
    here: &'s str,
    there: &'s str,
}

fn of_group(ours: &Value, theirs: &Value) -> Vec<String> {
    changed_fields(ours, theirs, &OF_THE_RECORD)
        .into_iter()
        .flat_map(|field| match field.as_str() {
            "mappings" => of_mappings(&ours["mappings"], &theirs["mappings"]),
            _ => vec![field],
        })
        .collect()
}

fn of_mappings(ours: &Value, theirs: &Value) -> Vec<String> {
    changed_fields(ours, theirs, &[])
        .into_iter()
        .map(|field| match field.as_str() {
            "networks" => "network_mapping".to_owned(),
            "flavors" => "flavor_mapping".to_owned(),
            "server_groups" => "server_group_mapping".to_owned(),
            "volume_types" => "volume_type_mapping".to_owned(),
            "qos_policies" => "qos_policy_mapping".to_owned(),
            _ => field,
        })
        .collect()
}

impl Sites<'_> {
    fn of_policy(&self, ours: &Value, theirs: &Value) -> Vec<String> {
        match (ours.is_null(), theirs.is_null()) {
            (true, true) => vec![],
            (false, true) => vec![format!("policy: only on {}", self.here)],
            (true, false) => vec![format!("policy: only on {}", self.there)],
            (false, false) => {
                let fields = changed_fields(ours, theirs, &TIMES);
                let changed = |field: &str| ours[field] != theirs[field];
                if fields.is_empty() && changed("updated_at") {
                    // Secrets are masked: that one was changed shows in the time alone.
                    return vec![
                        "policy: changed at another time, perhaps an api_token".to_owned(),
                    ];
                }
                fields
                    .into_iter()
                    .map(|field| format!("policy: {field}"))
                    .collect()
            }
        }
    }

    fn of_members(&self, ours: &Value, theirs: &Value) -> Vec<String> {
        let (ours, theirs) = (by_id(ours), by_id(theirs));
        let mut found: Vec<String> = ours
            .iter()
            .filter_map(|(id, member)| match theirs.get(id) {
                None => Some(format!("member {}: only on {}", name(member), self.here)),
                Some(other) => {
                    let fields = changed_fields(member, other, &TIMES);
                    (!fields.is_empty())
                        .then(|| format!("member {}: {}", name(member), fields.join(", ")))
                }
            })
            .collect();
        let only_there = theirs.iter().filter(|(id, _)| !ours.contains_key(*id));
        found.extend(
            only_there
                .map(|(_, member)| format!("member {}: only on {}", name(member), self.there)),
        );
        found.sort();
        found
    }
}

fn by_id(members: &Value) -> BTreeMap<&str, &Value> {
    members
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|member| Some((member["id"].as_str()?, member)))
        .collect()
}

fn name(member: &Value) -> &str {
    member["name"].as_str().unwrap_or("without a name")
}

/// The fields that differ, but those in `except`; one that is missing is the same as one that is null.
fn changed_fields(ours: &Value, theirs: &Value, except: &[&str]) -> Vec<String> {
    let empty = Map::new();
    let ours = ours.as_object().unwrap_or(&empty);
    let theirs = theirs.as_object().unwrap_or(&empty);
    let fields: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    fields
        .into_iter()
        .filter(|field| !except.contains(&field.as_str()))
        .filter(|field| {
            let of = |map: &Map<String, Value>| map.get(*field).cloned().unwrap_or_default();
            of(ours) != of(theirs)
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "group": {"id": "g", "name": "web", "description": null, "version": 7, "status": "active",
                "mappings": {"networks": {"a": "b"}, "flavors": {}}},
            "members": [
                {"id": "1", "name": "web-1", "server_id": "s1", "updated_at": "then"},
                {"id": "2", "name": "web-2", "server_id": "s2", "updated_at": "then"},
            ],
            "policy": {"rpo_minutes": 15, "primary_fa_api_token": "***", "updated_at": "then"},
        })
    }

    fn found(theirs: &Value) -> Vec<String> {
        differs(&document(), theirs, "site-a", "site-b")
    }

    #[test]
    fn the_same_does_not_differ() {
        let mut theirs = document();
        theirs["group"]["version"] = json!(9);
        theirs["members"][0]["updated_at"] = json!("now");
        assert_eq!(found(&theirs), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named() {
        let theirs = json!({
            "group": {"id": "g", "name": "web", "description": "shop", "version": 8, "status": "failed_over",
                "mappings": {"networks": {"a": "c"}}},
            "members": [
                {"id": "2", "name": "web-2", "server_id": "s9"},
                {"id": "3", "name": "web-3", "server_id": "s3"},
            ],
            "policy": {"rpo_minutes": 5, "primary_fa_api_token": "***", "updated_at": "now"},
        });
        assert_eq!(
            found(&theirs),
            [
                "description",
                "flavor_mapping",
                "network_mapping",
                "status",
                "policy: rpo_minutes",
                "member web-1: only on site-a",
                "member web-2: server_id",
                "member web-3: only on site-b",
            ]
        );
    }

    #[test]
    fn a_secret_that_was_changed_is_guessed_from_the_time() {
        let mut theirs = document();
        theirs["policy"]["updated_at"] = json!("now");
        assert!(found(&theirs)[0].contains("api_token"));
        theirs["policy"] = Value::Null;
        assert_eq!(found(&theirs), ["policy: only on site-a"]);
    }
}

//! A fingerprint of what a group's metadata says, so that two sites can tell in one word whether they hold the same.
//!
//! Left out is what may differ without anybody having changed anything: the version, the times of changes, when the group
//! was last replicated. Secrets are left out too, since the fingerprint is shown to tenants; a change of them shows in the
//! time of the policy's change, which is therefore kept, in milliseconds: databases keep fewer digits than clocks.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use sea_orm::JsonValue;
use sha2::{Digest as _, Sha256};

/// Fields of the group that do not count.
pub(crate) const VOLATILE_IN_GROUP: [&str; 4] =
    ["version", "last_replication_at", "created_at", "updated_at"];
/// Fields of a member that do not count.
pub(crate) const VOLATILE_IN_MEMBER: [&str; 3] = ["created_at", "updated_at", "earlier"];
/// Fields of a member's volume that do not count: a peer of an earlier release leaves them out, and loses by that no more than a
/// convenience of the way back.
pub(crate) const VOLATILE_IN_VOLUME: [&str; 1] = ["delete_on_termination_at"];
/// Fields of the policy that do not count.
pub(crate) const VOLATILE_IN_POLICY: [&str; 3] = [
    "primary_fa_api_token",
    "secondary_fa_api_token",
    "created_at",
];

/// SHA-256 of the document in a form that does not depend on the order of fields, as 64 hexadecimal digits.
///
/// Nulls and empty lists and maps do not count, so that a field that is added to the document in a later release
/// changes no group's fingerprint before it is used.
pub(crate) fn digest(document: &JsonValue) -> String {
    let mut text = String::new();
    write_canonical(&counted(document), &mut text);
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// What counts of a document: members in the order of their ids, whatever their names.
fn counted(document: &JsonValue) -> JsonValue {
    let mut counted = document.clone();
    if let Some(group) = counted.get_mut("group") {
        without(group, &VOLATILE_IN_GROUP);
    }
    if let Some(JsonValue::Array(members)) = counted.get_mut("members") {
        for member in members.iter_mut() {
            without(member, &VOLATILE_IN_MEMBER);
            let volumes = member.get_mut("volumes").and_then(JsonValue::as_array_mut);
            for volume in volumes.into_iter().flatten() {
                without(volume, &VOLATILE_IN_VOLUME);
            }
        }
        members.sort_by_key(|member| member["id"].as_str().unwrap_or_default().to_owned());
    }
    if let Some(policy) = counted.get_mut("policy") {
        without(policy, &VOLATILE_IN_POLICY);
        in_milliseconds(policy, "updated_at");
    }
    counted
}

fn without(object: &mut JsonValue, fields: &[&str]) {
    if let JsonValue::Object(map) = object {
        for field in fields {
            map.remove(*field);
        }
    }
}

fn in_milliseconds(object: &mut JsonValue, field: &str) {
    let Some(value) = object.get_mut(field) else {
        return;
    };
    let at = value
        .as_str()
        .and_then(|text| text.parse::<DateTime<Utc>>().ok());
    if let Some(at) = at {
        *value = at.timestamp_millis().into();
    }
}

fn counts(value: &JsonValue) -> bool {
    match value {
        JsonValue::Null => false,
        JsonValue::Array(items) => !items.is_empty(),
        JsonValue::Object(map) => map.values().any(counts),
        JsonValue::Bool(_) | JsonValue::Number(_) | JsonValue::String(_) => true,
    }
}

fn write_canonical(value: &JsonValue, text: &mut String) {
    match value {
        JsonValue::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().filter(|(_, value)| counts(value)).collect();
            text.push('{');
            for (key, value) in sorted {
                // A JSON string of the key, so that no key can look like the end of another value.
                text.push_str(&JsonValue::String(key.clone()).to_string());
                text.push(':');
                write_canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        JsonValue::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> JsonValue {
        json!({
            "group": {"id": "g", "name": "web", "version": 3, "status": "active",
                "updated_at": "2025-11-03T14:00:00Z", "last_replication_at": null},
            "members": [{"id": "1", "name": "b"}, {"id": "2", "name": "a"}],
            "policy": {"rpo_minutes": 15, "primary_fa_api_token": "secret",
                "updated_at": "2025-11-03T14:00:00.123456789Z"},
        })
    }

    fn changed(pointer: &str, value: JsonValue) -> String {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap() = value;
        digest(&document)
    }

    /// As the other site's protector sends it, whoever that is.
    #[test]
    fn fuzz_metadata_documents() {
        let scope =
            |site: &str| json!({"site": site, "project_id": "0123456789abcdef0123456789abcdef"});
        let group = json!({
            "id": "b7a1c2d3-0001-4000-8000-000000000001", "name": "web", "description": null, "primary": scope("site-a"),
            "secondary": scope("site-b"), "current_primary_site": "site-a", "status": "active",
            "replication_type": "async", "volume_type_id": "t1", "secondary_volume_type_id": "t2",
            "mappings": {"networks": {"n1": "n2"}, "flavors": {}}, "version": 3, "last_replication_at": null,
            "created_at": "2025-11-03T14:00:00Z", "updated_at": "2025-11-03T14:00:00Z",
        });
        let policy = json!({
            "primary_fa_url": "https://fa1", "secondary_fa_url": "https://fa2", "primary_fa_api_token": "hunter2",
            "secondary_fa_api_token": null, "rpo_minutes": 15, "created_at": "2025-11-03T14:00:00Z",
            "updated_at": "2025-11-03T14:00:00.123456789Z",
        });
        let whole = json!({"group": group, "members": [], "policy": policy}).to_string();
        crate::MetadataDocument::from_json(serde_json::from_str(&whole).unwrap()).unwrap();
        let loose = document().to_string();
        protector_fuzz::feed(
            "metadata documents",
            &[whole.as_bytes(), loose.as_bytes()],
            |body| {
                let Ok(json) = serde_json::from_slice::<JsonValue>(body) else {
                    return;
                };
                assert_eq!(digest(&json).len(), 64);
                let Ok(document) = crate::MetadataDocument::from_json(json) else {
                    return;
                };
                // What was taken is given back as it was, and said to nobody with its secrets.
                let given = document.to_json().unwrap();
                let again = crate::MetadataDocument::from_json(given).unwrap();
                assert_eq!(again.digest().unwrap(), document.digest().unwrap());
                let shown = document.to_masked_json().unwrap();
                let secret = shown.pointer("/policy/primary_fa_api_token");
                assert!(secret.is_none_or(|secret| secret.is_null() || secret == "***"));
            },
        );
    }

    #[test]
    fn what_nobody_changed_does_not_count() {
        let same = digest(&document());
        assert_eq!(same.len(), 64);
        for (pointer, value) in [
            ("/group/version", json!(9)),
            ("/group/last_replication_at", json!("2025-11-03T15:00:00Z")),
            ("/group/updated_at", json!("2025-11-03T15:00:00Z")),
            ("/policy/primary_fa_api_token", json!("another")),
            ("/policy/updated_at", json!("2025-11-03T14:00:00.123Z")),
            (
                "/members",
                json!([{"name": "a", "id": "2", "metadata": {}, "zone": null}, {"id": "1", "name": "b"}]),
            ),
        ] {
            assert_eq!(changed(pointer, value), same, "{pointer}");
        }
    }

    #[test]
    fn what_somebody_changed_does() {
        let same = digest(&document());
        for (pointer, value) in [
            ("/group/name", json!("shop")),
            ("/group/status", json!("failed_over")),
            ("/members/0/name", json!("c")),
            ("/members", json!([{"id": "1", "name": "b"}])),
            ("/policy", json!(null)),
            ("/policy/rpo_minutes", json!(16)),
            ("/policy/updated_at", json!("2025-11-03T14:00:01Z")),
        ] {
            assert_ne!(changed(pointer, value), same, "{pointer}");
        }
    }
}

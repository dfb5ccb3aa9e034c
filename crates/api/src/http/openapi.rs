//! The OpenAPI document, made from the routes.

use axum::Json;
use protector_wire::{
    group::GroupSortKey,
    member::MemberSortKey,
    operation::{OperationSortKey, StatusWord, TypeWord},
    page::SortDir,
    site::SiteSortKey,
    version::Microversion,
};
use utoipa::{
    ToSchema,
    openapi::{
        Components, Info, License, OpenApi, OpenApiBuilder, Tag,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use crate::http::described_faults;

/// The document of all routes.
pub fn openapi() -> OpenApi {
    let (_, mut document) = crate::http::router::routes().split_for_parts();
    described_faults::describe(&mut document);
    document
}

/// What is said of the API as a whole.
pub(crate) fn frame() -> OpenApi {
    let mut info = Info::new("protector".to_owned(), Microversion::MAX.to_string());
    let history: String = Microversion::HISTORY
        .iter()
        .map(|(version, what)| format!("\n* {version}: {what}"))
        .collect();
    info.description = Some(format!(
        "Disaster recovery of Nova servers between two OpenStack clouds, run by tenants. Errors have the form \
         {{\"badRequest\": {{\"code\": 400, \"error_code\": \"PRT-INVALID-REQUEST\", \"message\": \"…\"}}}}.\n\n\
         Versions, asked for with `OpenStack-API-Version: protector 1.1`; the base answers who asks for none:\n{history}"
    ));
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let mut document = OpenApiBuilder::new()
        .info(info)
        .tags(Some(TAGS.iter().map(|(name, text)| {
            let mut tag = Tag::new(*name);
            tag.description = Some((*text).to_owned());
            tag
        })))
        .security(Some([SecurityRequirement::new(
            "token",
            Vec::<String>::new(),
        )]))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "token",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-Auth-Token",
            "A project-scoped token of the site's Keystone.",
        ))),
    );
    // What only query parameters name is not collected from the routes.
    add::<StatusWord>(components);
    add::<TypeWord>(components);
    add::<SortDir>(components);
    add::<GroupSortKey>(components);
    add::<MemberSortKey>(components);
    add::<OperationSortKey>(components);
    add::<SiteSortKey>(components);
    document
}

fn add<T: ToSchema>(components: &mut Components) {
    components
        .schemas
        .insert(T::name().into_owned(), T::schema());
}

const TAGS: &[(&str, &str)] = &[
    ("versions", "Versions and documents of the API."),
    ("sites", "The two clouds, registered by administrators."),
    (
        "tenant mappings",
        "Which projects of the two clouds belong to the same tenant.",
    ),
    ("protection groups", "Servers that fail over together."),
    ("members", "The servers of a group."),
    (
        "replication policy",
        "The arrays that replicate a group, and its recovery point objective.",
    ),
    (
        "resource mappings",
        "Which network and flavor stands for which on the other site.",
    ),
    (
        "recovery plan",
        "In which order a group's servers start, and what happens in between.",
    ),
    ("actions", "What can be done with a group."),
    ("metadata", "A group's metadata on both sites."),
    ("operations", "What was done, step by step."),
    ("orphans", "What earlier operations left on the sites."),
];

/// This document. No token is needed.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi_show", tag = "versions", security(()),
    responses((status = 200, description = "The OpenAPI document", body = Object)))]
pub async fn show() -> Json<OpenApi> {
    Json(openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                let reference = fields.get("$ref").and_then(Value::as_str);
                into.extend(reference.map(str::to_owned));
                for field in fields.values() {
                    references(field, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let lost: Vec<&String> = found
            .iter()
            .filter(|reference| document.pointer(&reference[1..]).is_none())
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
        assert!(!found.is_empty());
    }
}

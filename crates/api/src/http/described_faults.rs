//! What every call may be refused with, written into the OpenAPI document once instead of at each call: the fault's body,
//! and the statuses that come from what surrounds the handlers (token, policy, path, version, body).

use http::StatusCode;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, OpenApi, Ref, RefOr, Response,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{AdditionalProperties, ObjectBuilder, Schema, Type},
    },
};

use crate::app::refusal::Refusal;

/// What is inside of a fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaultDetail {
    /// The HTTP status.
    pub code: u16,
    /// Why, for programs: one of a table that only grows.
    #[schema(schema_with = error_code)]
    pub error_code: &'static str,
    /// What is wrong, by field, and what to do: for people.
    pub message: String,
}

fn error_code() -> Schema {
    let codes = Refusal::ALL.iter().map(|refusal| refusal.code());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes))
        .build()
        .into()
}

const FAULT: &str = "Fault";

/// The body of every refusal: one key that names its kind.
fn fault() -> Schema {
    ObjectBuilder::new()
        .description(Some(
            "The body of every refusal: one key that names its kind, `badRequest`, `itemNotFound` …",
        ))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::Ref(
            Ref::from_schema_name(FaultDetail::name()),
        ))))
        .min_properties(Some(1))
        .max_properties(Some(1))
        .build()
        .into()
}

/// Adds to each call what it may be refused with, and the header that asks for a version.
pub(crate) fn describe(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(FAULT.to_owned(), fault().into());
    components.schemas.insert(
        FaultDetail::name().into_owned(),
        <FaultDetail as PartialSchema>::schema(),
    );
    for (path, item) in &mut document.paths.paths {
        let calls = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for call in calls.into_iter().flatten() {
            describe_call(path, call);
        }
    }
}

fn describe_call(path: &str, call: &mut Operation) {
    call.parameters
        .get_or_insert_default()
        .push(RefOr::T(version_header()));
    for (status, description) in common(path, call) {
        call.responses
            .responses
            .entry(status.as_str().to_owned())
            .or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in &mut call.responses.responses {
        let is_refusal = status.starts_with('4') || status.starts_with('5');
        if let (true, RefOr::T(response)) = (is_refusal, response) {
            response
                .content
                .entry("application/json".to_owned())
                .or_insert_with(|| RefOr::T(Content::new(Some(Ref::from_schema_name(FAULT)))));
        }
    }
}

fn version_header() -> Parameter {
    ParameterBuilder::new()
        .name("OpenStack-API-Version")
        .parameter_in(ParameterIn::Header)
        .description(Some("The API version that is spoken, `protector 1.1`"))
        .schema(Some(<String as PartialSchema>::schema()))
        .build()
}

fn common(path: &str, call: &Operation) -> Vec<(StatusCode, &'static str)> {
    let needs_token = call.security.is_none();
    let has_body = call.request_body.is_some();
    let names_a_thing = path.contains('{');
    let all = [
        (
            true,
            StatusCode::BAD_REQUEST,
            "A parameter, a header or the body is not as described",
        ),
        (
            needs_token,
            StatusCode::UNAUTHORIZED,
            "There is no valid token",
        ),
        (
            needs_token,
            StatusCode::FORBIDDEN,
            "The token is for no project, or the policy does not allow it",
        ),
        (
            names_a_thing,
            StatusCode::NOT_FOUND,
            "Something in the path does not exist, or not in the token's project",
        ),
        (
            true,
            StatusCode::NOT_ACCEPTABLE,
            "The API version is not one that is spoken",
        ),
        (
            has_body,
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is larger than [oslo_middleware] max_request_body_size",
        ),
        (
            has_body,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is not application/json",
        ),
        (
            needs_token,
            StatusCode::TOO_MANY_REQUESTS,
            "The project asks more than its share ([rate_limit]); Retry-After says when it may again",
        ),
        (
            needs_token,
            StatusCode::SERVICE_UNAVAILABLE,
            "Keystone, the database or a cloud does not answer",
        ),
    ];
    all.into_iter()
        .filter(|(applies, ..)| *applies)
        .map(|(_, status, description)| (status, description))
        .collect()
}

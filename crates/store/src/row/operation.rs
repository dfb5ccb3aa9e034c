//! Operations, to rows and back.

use chrono::{DateTime, Utc};
use protector_core::{id::OperationId, operation::Operation, plan::Plan, queue::Lane};
use sea_orm::DerivePartialModel;

use crate::{
    entity::operation::{Entity, Model},
    error::StoreError,
    foreign_text::ForeignText,
    sealing::Kept,
    words::{from_json, from_word, to_json, to_small, to_u32, to_word},
};

/// An operation's row without its plan, which is far larger than all the rest of it, and without what engines alone read.
#[derive(Clone, Debug, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) planning: String,
    pub(crate) group_id: String,
    pub(crate) group_name: String,
    pub(crate) adopts_id: Option<String>,
    pub(crate) project_id: String,
    pub(crate) user_id: String,
    pub(crate) source_site: String,
    pub(crate) target_site: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) state: String,
    pub(crate) book_version: i32,
    pub(crate) request_id: String,
    pub(crate) global_request_id: Option<String>,
    pub(crate) error: Option<ForeignText>,
    pub(crate) error_code: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

impl Head {
    /// The operation with `plan`, or what is known of it.
    pub(crate) fn with_plan<P>(self, plan: P) -> Result<Operation<P>, StoreError> {
        let code = self.error_code.as_deref();
        Ok(Operation {
            id: self.id.into(),
            kind: from_word("operations.kind", &self.kind)?,
            planning: from_word("operations.planning", &self.planning)?,
            group_id: self.group_id.into(),
            project_id: self.project_id.into(),
            user_id: self.user_id.into(),
            source_site: self.source_site.into(),
            target_site: self.target_site.into(),
            parent_id: self.parent_id.map(OperationId::new),
            plan,
            state: from_word("operations.state", &self.state)?,
            book_version: to_u32("operations.book_version", self.book_version)?,
            request_id: self.request_id,
            global_request_id: self.global_request_id,
            error: self.error.map(ForeignText::into_text),
            error_code: code
                .map(|code| from_word("operations.error_code", code))
                .transpose()?,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

pub(crate) fn to_row(operation: &Operation, plan: &Kept<Plan>) -> Result<Model, StoreError> {
    Ok(Model {
        id: operation.id.to_string(),
        kind: operation.kind.as_str().to_owned(),
        planning: operation.planning.as_str().to_owned(),
        lane: Lane::of(operation).as_str().to_owned(),
        group_id: operation.group_id.to_string(),
        project_id: operation.project_id.to_string(),
        user_id: operation.user_id.to_string(),
        source_site: operation.source_site.to_string(),
        target_site: operation.target_site.to_string(),
        parent_id: operation.parent_id.as_ref().map(ToString::to_string),
        plan: to_json(&**plan)?,
        state: operation.state.as_str().to_owned(),
        book_version: to_small(operation.book_version),
        request_id: operation.request_id.clone(),
        global_request_id: operation.global_request_id.clone(),
        lease_owner: None,
        lease_until: None,
        fence: 0,
        beat: 0,
        error: operation.error.clone().map(ForeignText::of),
        error_code: operation.error_code.as_ref().map(to_word).transpose()?,
        created_at: operation.created_at,
        started_at: operation.started_at,
        finished_at: operation.finished_at,
        revision: 1,
        pushed_revision: 0,
        push_due_at: Some(operation.created_at),
        push_failed_tries: 0,
        push_error: None,
        group_name: operation.plan.group_name.clone(),
        adopts_id: operation.plan.adopts.as_ref().map(ToString::to_string),
    })
}

pub(crate) fn from_row(row: Model) -> Result<Operation, StoreError> {
    let plan: Plan = from_json("operations.plan", row.plan)?;
    let head = Head {
        id: row.id,
        kind: row.kind,
        planning: row.planning,
        group_id: row.group_id,
        group_name: row.group_name,
        adopts_id: row.adopts_id,
        project_id: row.project_id,
        user_id: row.user_id,
        source_site: row.source_site,
        target_site: row.target_site,
        parent_id: row.parent_id,
        state: row.state,
        book_version: row.book_version,
        request_id: row.request_id,
        global_request_id: row.global_request_id,
        error: row.error,
        error_code: row.error_code,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    };
    head.with_plan(plan)
}

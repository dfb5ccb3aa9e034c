//! Operations that the other site runs: they are shown here, and everything else is done there.

use protector_core::{
    id::{OperationId, ProjectId},
    leftover::leftover_count,
    operation::OperationRecord,
};
use protector_oslo::policy::{RuleName, Target};
use protector_store::{KeptOperation, ListedOperation, PeerOperation, StoreError};
use protector_wire::operation::{OperationDetail, OperationView, ShownOperation};
use serde_json::Value;

use super::App;
use crate::{
    app::refusal::Refusal,
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
    },
};

impl App {
    /// This site's own operation `id` of `project`, on which something is to be done. `command` is how that is asked
    /// for, without the cloud.
    ///
    /// An operation that the other site runs is refused with its home; another project's is 404.
    pub async fn operation_here(
        &self,
        project: &ProjectId,
        id: &OperationId,
        command: &str,
    ) -> ApiResult<OperationRecord> {
        match self.database.operation_show(project, id).await {
            Ok(record) => Ok(record),
            Err(missing @ StoreError::NotFound { .. }) => {
                let copy = self.database.peer_operation_show(project, id).await;
                Err(copy.map_or_else(|_| missing.into(), |copy| lives_elsewhere(&copy, command)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The project's operation `id`, whichever site runs it, if `caller` may do to it what `rule` guards.
    pub async fn operation_anywhere(
        &self,
        caller: &Caller,
        project: &ProjectId,
        id: &OperationId,
        rule: RuleName,
    ) -> ApiResult<KeptOperation> {
        caller.must_own(project)?;
        let kept = match self.database.operation_show(project, id).await {
            Ok(record) => KeptOperation::Here(Box::new(record)),
            Err(StoreError::NotFound { .. }) => {
                let copy = self.database.peer_operation_show(project, id).await?;
                KeptOperation::Elsewhere(copy)
            }
            Err(error) => return Err(error.into()),
        };
        self.enforce(rule, caller, &Target::of_project(project.as_str()))?;
        Ok(kept)
    }

    /// Shows an operation; of one that the other site runs, what that site showed last.
    pub async fn shown(
        &self,
        kept: KeptOperation,
        detail: OperationDetail,
    ) -> ApiResult<ShownOperation> {
        match kept {
            KeptOperation::Here(record) => {
                let as_left = self.database.operation_as_left(&record).await?;
                Ok(self.own(&record, detail, leftover_count(&as_left)))
            }
            KeptOperation::Elsewhere(mut copy) => {
                if let (OperationDetail::Steps, Value::Object(record)) = (detail, &mut copy.record)
                {
                    let lines = self.database.peer_operation_lines(&copy.id).await?;
                    record.insert("steps".to_owned(), Value::Array(lines));
                }
                Ok(ShownOperation::Elsewhere(copy.record))
            }
        }
    }

    /// Shows the operations of a list, without their lines.
    pub fn listed(&self, operations: Vec<ListedOperation>) -> Vec<ShownOperation> {
        let shown = |listed| match listed {
            ListedOperation::Here { outline, leftovers } => {
                ShownOperation::Here(Box::new(OperationView {
                    leftovers,
                    ..OperationView::outlined(&self.settings.site_name, &outline)
                }))
            }
            ListedOperation::Elsewhere(copy) => ShownOperation::Elsewhere(copy.record),
        };
        operations.into_iter().map(shown).collect()
    }

    fn own(
        &self,
        record: &OperationRecord,
        detail: OperationDetail,
        leftovers: usize,
    ) -> ShownOperation {
        ShownOperation::Here(Box::new(OperationView {
            leftovers,
            ..OperationView::of(&self.settings.site_name, record, detail)
        }))
    }
}

/// The refusal of what only the home of an operation can do. `command` is how that is asked for, without the cloud.
pub(super) fn lives_elsewhere(copy: &PeerOperation, command: &str) -> ApiError {
    let home = &copy.home_site;
    ApiError::new(
        Refusal::WrongSite,
        format!(
            "Operation {} is run by {home}; what is kept here is a copy to be read. Send this to {home}: 'openstack --os-cloud {home} dr {command}'.",
            copy.id
        ),
    )
}

//! Who holds what a move has imported, beside the copies that it has built: somebody may have built another server from the
//! volumes, which carries no mark.

use protector_core::{
    fault::{Code, StepFailure},
    id::{OperationId, ServerId, VolumeId},
    mark::SOURCE,
    operation::OperationKind,
    runbook::Step,
};
use protector_openstack::{
    cloud::Cloud,
    status::VolumeStatus,
    volume::{Volume, VolumeFilter},
};

use super::{
    lost_target::in_time,
    mark, reading,
    scope::{Absent, Eyes, believe_absence, believe_gone_for_all, target_networks},
    site_clouds::SiteClouds,
};
use crate::{action::StepContext, clouds::stop, step_error::StepError};

/// A server on the target, and the import that it holds.
struct Holder {
    server: ServerId,
    status: String,
    volume: String,
}

impl SiteClouds<'_> {
    /// Refuses to start the server `id` beside one that holds an import of its volumes on the target, whoever has built it
    /// (I10). Where no copy was ever asked for, a target that does not tell keeps nothing stopped.
    pub(super) async fn refuse_beside_a_holder(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        let holder = match self.holder_of_its_imports(cx, id).await {
            Err(
                StepError::Fault(StepFailure::Passing { .. } | StepFailure::NotTold { .. })
                | StepError::LockedOut { .. }
                | StepError::TurnedAway { .. },
            ) if !cx
                .has_asked_for(&Step::RecreateServer { server: id.clone() }, id.as_str())
                .await? =>
            {
                None
            }
            answer => answer?,
        };
        refuse_beside(cx, holder)
    }

    /// The same where the target is lost, as somebody has said, and yet shows no copy: while it shows no holder either, nothing
    /// keeps the server stopped.
    pub(super) async fn refuse_beside_a_holder_that_is_seen(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        let asked = in_time(self.holder_of_its_imports(cx, id)).await;
        match asked.flatten() {
            Err(StepError::Fault(StepFailure::Passing { .. })) => Ok(()),
            answer => refuse_beside(cx, answer?),
        }
    }

    async fn holder_of_its_imports(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<Holder>, StepError> {
        let Some(member) = cx.plan().member_of_server(id.as_str()) else {
            return Ok(None);
        };
        let mut target = None;
        for volume in &member.volumes {
            if !may_be_imported(cx, &volume.id) {
                continue;
            }
            let target = match &target {
                Some(target) => target,
                None => target.insert(self.target(cx).await?),
            };
            for import in imports_of(target, cx, volume.id.as_str()).await? {
                if let Some(holder) = self.holder_of(target, cx, &import).await? {
                    return Ok(Some(holder));
                }
            }
        }
        Ok(None)
    }

    /// The first server that an import is kept for and that is there: Cinder may know an attachment longer than Nova its server,
    /// and lists one under way with the attachments alone. That Nova does not know it must be proved (I13). A test's copy holds
    /// volumes of its own.
    async fn holder_of(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        import: &Volume,
    ) -> Result<Option<Holder>, StepError> {
        if mark::is_of_a_test(&import.metadata) || import.status == VolumeStatus::Available {
            return Ok(None);
        }
        let attachments = target.volume().attachments(&import.id).await;
        let servers = attachments.map_err(stop)?.into_iter();
        for id in servers.filter_map(|attachment| attachment.instance) {
            let Some(server) = reading::server(target, &id).await? else {
                let (networks, project) =
                    (target_networks(cx.plan()), &cx.plan().target.project_id);
                believe_absence(target, Absent::Server, Eyes::Tenant, project, &networks).await?;
                let admin = self.target_admin(cx).await?;
                believe_gone_for_all(&admin, Absent::Server, id.as_str(), project).await?;
                continue;
            };
            return Ok(Some(Holder {
                status: server.status.as_str().to_owned(),
                server: server.id,
                volume: import.id.to_string(),
            }));
        }
        Ok(None)
    }
}

/// Nothing is imported before it is promoted; what a move that is given up has promoted is not in this operation's map.
fn may_be_imported(cx: &StepContext<'_>, volume: &VolumeId) -> bool {
    given_up(cx).is_some() || cx.known(|map| map.promoted(volume).is_some())
}

fn refuse_beside(cx: &StepContext<'_>, holder: Option<Holder>) -> Result<(), StepError> {
    let Some(Holder {
        server,
        status,
        volume,
    }) = holder
    else {
        return Ok(());
    };
    let site = &cx.plan().target.site;
    let again = match given_up(cx) {
        Some(move_) => format!(
            "abort {move_} --target-is-lost'; if {volume} is none, 'openstack --os-cloud {site} volume unset --property {SOURCE} {volume}' takes the mark off"
        ),
        None => format!("cleanup {}'", mark::cleaned_up(cx.operation)),
    };
    Err(StepError::last(
        Code::Kept,
        format!(
            "not started: server {server} ({status}) on {site} holds {volume}, a copy of its volume, and may run as it: delete that server, or detach the volume from it, then 'openstack dr operation {again}"
        ),
    ))
}

/// The move that this operation gives up, which either site's protector may have run.
fn given_up<'c>(cx: &'c StepContext<'_>) -> Option<&'c OperationId> {
    moves_given_up(cx).first()
}

/// The same with the one that it was to go forward with.
fn moves_given_up<'c>(cx: &'c StepContext<'_>) -> &'c [OperationId] {
    match cx.operation.kind {
        OperationKind::Abort => &cx.plan().interrupted,
        _ => &[],
    }
}

/// What a move has imported of a volume. A restored backup has the marks too, and is somebody else's: what we have not made
/// counts only where the move that is given up may have been the other site's.
async fn imports_of(
    target: &Cloud,
    cx: &StepContext<'_>,
    volume: &str,
) -> Result<Vec<Volume>, StepError> {
    let marked = VolumeFilter::marked(SOURCE, volume);
    let mut imports = Vec::new();
    for import in target.volume().volumes(&marked).await.map_err(stop)? {
        let mut moves = moves_given_up(cx).iter();
        let is_its = moves.any(|by| mark::is_ours(&import.metadata, by, volume));
        if is_its || mark::made_as_us(target, import.user_id.as_ref()).await? {
            imports.push(import);
        }
    }
    Ok(imports)
}

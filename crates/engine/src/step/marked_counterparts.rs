//! The copies of a server that its cloud shows, known by their marks, whichever operation made them.
//!
//! A copy counts until it is gone. Anybody may start one that is stopped, unshelve or restore another; and one that is being
//! deleted may be on a host that is dead, where that never ends and its guest goes on.

use protector_core::{
    id::{OperationId, ProjectId, ServerId},
    mark::{OPERATION, SOURCE},
};
use protector_openstack::{
    cloud::Cloud,
    compute::{Server, ServerFilter},
    error::CallError,
    status::ServerStatus,
};

use super::{mark, reading, site_clouds::SiteClouds};
use crate::{action::StepContext, step_error::StepError};

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CounterpartState {
    /// Its build has failed, and it was never on a host.
    NeverBegun,
    /// Nova is deleting it.
    Ending,
    /// It runs, or somebody can bring it to.
    Lasting,
}

/// A server that is marked as the copy of another one.
#[derive(Clone, Debug)]
pub(super) struct ServerCopy {
    /// As its cloud shows it.
    pub(super) server: Server,
    /// What it is at.
    pub(super) life: CounterpartState,
    /// Whether protector's user has made it. Anybody may copy metadata.
    pub(super) is_ours: bool,
}

impl ServerCopy {
    /// Whether `maker` is the operation that it names.
    pub(super) fn is_of(&self, maker: &OperationId) -> bool {
        self.server.metadata.get(OPERATION).map(String::as_str) == Some(maker.as_str())
    }

    /// Whether a test failover has made it: it writes nothing of the group's.
    pub(super) fn is_of_a_test(&self) -> bool {
        mark::is_of_a_test(&self.server.metadata)
    }
}

/// All copies of `original` that a cloud shows, the oldest first. `target` has the tenant's eyes, `admin` those of the
/// administrator, to whom alone Nova lists what is deleted softly. That none is shown proves nothing yet.
pub(super) async fn copies_of(
    target: &Cloud,
    admin: &Cloud,
    project: &ProjectId,
    original: &ServerId,
) -> Result<Vec<ServerCopy>, CallError> {
    let marked = ServerFilter::marked(SOURCE, original.as_str());
    let servers = target.compute().servers(&marked).await?;
    let nova = admin.compute();
    let hidden = nova.soft_deleted_servers(project, &marked).await?;
    read(target, servers, hidden).await
}

/// The same without those that are deleted softly: what a tenant's list shows.
pub(super) async fn listed_copies_of(
    target: &Cloud,
    original: &ServerId,
) -> Result<Vec<ServerCopy>, CallError> {
    let marked = ServerFilter::marked(SOURCE, original.as_str());
    let servers = target.compute().servers(&marked).await?;
    read(target, servers, Vec::new()).await
}

async fn read(
    target: &Cloud,
    mut servers: Vec<Server>,
    hidden: Vec<Server>,
) -> Result<Vec<ServerCopy>, CallError> {
    servers.extend(hidden);
    servers.retain(|server| server.status != ServerStatus::Deleted);
    servers.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    let us = target.session().user_id().await?;
    let copy = |server: Server| ServerCopy {
        life: life_of(&server),
        is_ours: server.user_id.as_ref() == Some(&us),
        server,
    };
    Ok(servers.into_iter().map(copy).collect())
}

fn life_of(server: &Server) -> CounterpartState {
    let was_placed = !server.host_id.is_empty() || server.launched_at.is_some();
    match &server.status {
        _ if reading::is_being_deleted(server) => CounterpartState::Ending,
        ServerStatus::Error if !was_placed => CounterpartState::NeverBegun,
        _ => CounterpartState::Lasting,
    }
}

/// Whether Nova has given up building it: the time of its launch is noted when its guest was spawned, and none has written.
pub(super) fn was_never_launched(server: &Server) -> bool {
    server.status == ServerStatus::Error && server.launched_at.is_none()
}

impl SiteClouds<'_> {
    /// All copies of a server that the target shows.
    pub(super) async fn copies_on_target(
        &self,
        cx: &StepContext<'_>,
        original: &ServerId,
    ) -> Result<Vec<ServerCopy>, StepError> {
        let (target, admin) = (self.target(cx).await?, self.target_admin(cx).await?);
        let project = &cx.plan().target.project_id;
        let copies = copies_of(&target, &admin, project, original).await;
        copies.map_err(crate::clouds::stop)
    }
}

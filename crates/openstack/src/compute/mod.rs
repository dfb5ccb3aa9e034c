//! Nova: servers and what belongs to them.

mod flavor;
mod instance_action;
mod keypair;
mod limits;
mod new_server;
mod reset_state;
mod server;
mod server_group;
mod zone;

use std::collections::BTreeMap;

pub use flavor::NovaFlavor;
pub use instance_action::InstanceAction;
pub use keypair::{Keypair, KeypairKind};
pub use limits::{ComputeLimits, ComputeService};
pub use new_server::{BlockDevice, BlockSource, NewServer, ServerNetwork};
use protector_core::{
    id::{FlavorId, ProjectId, ServerId, UserId, VolumeId},
    server_group::ServerGroup as KnownServerGroup,
};
use serde::Deserialize;
use serde_json::{Value, json};
pub use server::{
    Address, EmbeddedFlavor, InterfaceIp, NamedGroup, PortAttachment, Server, ServerFault,
    ServerFilter, ServerVolume, VolumeAttachment,
};
pub use server_group::{NovaServerGroup, ServerGroupRules};

use crate::{
    ask::Ask, error::CallError, quota_set, quota_set::QuotaUsage, service::Service,
    session::Session, status::ServerStatus,
};

/// Nova of one cloud in one project. Needs Nova 2.87 (Victoria) or later.
#[derive(Clone, Debug)]
pub struct Compute {
    session: Session,
}

const NOVA: Service = Service::Compute;

impl Compute {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET /servers/{id}` (2.73 for `locked_reason`). Role: reader of the project.
    /// `NotFound` may also mean another project's server.
    ///
    /// # Errors
    /// As any call; `Unexpected` when a field that decisions rest on is missing.
    pub async fn server(&self, id: &ServerId) -> Result<Server, CallError> {
        self.session
            .object(
                Ask::get(NOVA, &["servers", id.as_str()]).needs(2, 73),
                "server",
            )
            .await
    }

    /// The same, whole: every attribute that Nova shows. Role: reader of the project; an administrator is shown more.
    ///
    /// # Errors
    /// As any call.
    pub async fn server_as_shown(&self, id: &ServerId) -> Result<Value, CallError> {
        let ask = Ask::get(NOVA, &["servers", id.as_str()]).needs(2, 73);
        self.session.object(ask, "server").await
    }

    /// `GET /servers/detail` (2.73), to the last page, what `filter` lets through. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn servers(&self, filter: &ServerFilter) -> Result<Vec<Server>, CallError> {
        let ask = Ask::get(NOVA, &["servers", "detail"])
            .query_if("name", filter.name_to_send())
            .needs(2, 73);
        let fits = |server: &Server| filter.fits(server);
        self.session.pages_where(ask, "servers", fits).await
    }

    /// `GET /servers/detail?soft_deleted=true` (2.73): the servers of `project` that are deleted softly, which somebody may
    /// restore, and which no other list has. Role: administrator.
    ///
    /// # Errors
    /// As any call.
    pub async fn soft_deleted_servers(
        &self,
        project: &ProjectId,
        filter: &ServerFilter,
    ) -> Result<Vec<Server>, CallError> {
        let ask = Ask::get(NOVA, &["servers", "detail"])
            .query("all_tenants", "true")
            .query("project_id", project.as_str())
            .query("soft_deleted", "true")
            .needs(2, 73);
        let fits =
            |server: &Server| server.status == ServerStatus::SoftDeleted && filter.fits(server);
        self.session.pages_where(ask, "servers", fits).await
    }

    /// `POST /servers` (2.57, with a host name 2.90), the new server's id. Role: member of the project. The server is then `BUILD`; read
    /// it until it is `ACTIVE` or `ERROR`. After `Ambiguous`, look for it by its mark before repeating.
    ///
    /// # Errors
    /// As any call. A bad reference is 400 or 409 at once; a lack of hosts shows later, in `fault`.
    pub async fn create_server(&self, server: &NewServer) -> Result<ServerId, CallError> {
        #[derive(Deserialize)]
        struct Created {
            id: ServerId,
        }
        let minor = if server.hostname.is_some() { 90 } else { 57 };
        let ask = Ask::post(NOVA, &["servers"], server.body()).needs(2, minor);
        Ok(self.session.object::<Created>(ask, "server").await?.id)
    }

    /// `DELETE /servers/{id}`: 204 says only that Nova took the order; the end is `NotFound` on a later read.
    /// Repeating is safe. Role: member of the project; a locked server is `Conflict`.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete_server(&self, id: &ServerId) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(NOVA, &["servers", id.as_str()]))
            .await
    }

    /// `POST /servers/{id}/action` `forceDelete`: ends a `SOFT_DELETED` server at once. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn force_delete_server(&self, id: &ServerId) -> Result<(), CallError> {
        self.action(id, json!({"forceDelete": null})).await
    }

    /// `os-start`. Role: member of the project. `Conflict` unless it is stopped.
    ///
    /// # Errors
    /// As any call.
    pub async fn start_server(&self, id: &ServerId) -> Result<(), CallError> {
        self.action(id, json!({"os-start": null})).await
    }

    /// `os-stop`. Role: member of the project. `Conflict` when it is stopped, stopping or locked.
    ///
    /// # Errors
    /// As any call.
    pub async fn stop_server(&self, id: &ServerId) -> Result<(), CallError> {
        self.action(id, json!({"os-stop": null})).await
    }

    async fn action(&self, id: &ServerId, body: Value) -> Result<(), CallError> {
        self.session
            .done(Ask::post(NOVA, &["servers", id.as_str(), "action"], body))
            .await
    }

    /// `POST /servers/{id}/metadata`: adds or replaces these keys and keeps the others. Role: member of the project.
    ///
    /// # Errors
    /// As any call; `Conflict` while the server is in error.
    pub async fn set_server_metadata(
        &self,
        id: &ServerId,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        self.session
            .done(Ask::post(
                NOVA,
                &["servers", id.as_str(), "metadata"],
                json!({"metadata": metadata}),
            ))
            .await
    }

    /// `GET /servers/{id}/os-volume_attachments` (2.79 for `delete_on_termination`). Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn volume_attachments(
        &self,
        server: &ServerId,
    ) -> Result<Vec<VolumeAttachment>, CallError> {
        let ask =
            Ask::get(NOVA, &["servers", server.as_str(), "os-volume_attachments"]).needs(2, 79);
        self.session.list(ask, "volumeAttachments").await
    }

    /// `POST /servers/{id}/os-volume_attachments` (2.79). Role: member of the project. The volume then is
    /// `attaching`, later `in-use`.
    ///
    /// # Errors
    /// As any call.
    pub async fn attach_volume(
        &self,
        server: &ServerId,
        volume: &VolumeId,
        device: Option<&str>,
        delete_on_termination: bool,
    ) -> Result<(), CallError> {
        let mut attachment =
            json!({"volumeId": volume, "delete_on_termination": delete_on_termination});
        if let Some(device) = device {
            attachment["device"] = json!(device);
        }
        let path = ["servers", server.as_str(), "os-volume_attachments"];
        self.session
            .done(Ask::post(NOVA, &path, json!({"volumeAttachment": attachment})).needs(2, 79))
            .await
    }

    /// `DELETE /servers/{id}/os-volume_attachments/{volume}`: 202, detached later. Role: member of the project.
    ///
    /// # Errors
    /// As any call; 400 for the root volume of a running server.
    pub async fn detach_volume(
        &self,
        server: &ServerId,
        volume: &VolumeId,
    ) -> Result<(), CallError> {
        let path = [
            "servers",
            server.as_str(),
            "os-volume_attachments",
            volume.as_str(),
        ];
        self.session.done(Ask::delete(NOVA, &path)).await
    }

    /// `PUT /servers/{id}/os-volume_attachments/{volume}` (2.85): whether the volume goes with the server.
    /// Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn set_delete_on_termination(
        &self,
        server: &ServerId,
        volume: &VolumeId,
        delete_on_termination: bool,
    ) -> Result<(), CallError> {
        let path = [
            "servers",
            server.as_str(),
            "os-volume_attachments",
            volume.as_str(),
        ];
        let body = json!({"volumeAttachment": {
            "volumeId": volume,
            "delete_on_termination": delete_on_termination,
        }});
        self.session
            .done(Ask::put(NOVA, &path, body).needs(2, 85))
            .await
    }

    /// `GET /servers/{id}/os-interface` (2.70): the server's ports. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn interfaces(&self, server: &ServerId) -> Result<Vec<PortAttachment>, CallError> {
        self.session
            .list(
                Ask::get(NOVA, &["servers", server.as_str(), "os-interface"]),
                "interfaceAttachments",
            )
            .await
    }

    /// `GET /os-server-groups` (2.64), to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn server_groups(&self) -> Result<Vec<NovaServerGroup>, CallError> {
        // Nova pages it by offset and gives no link to the next page.
        const PAGE: usize = 1000;
        const MOST_PAGES: usize = 100;
        let mut groups: Vec<NovaServerGroup> = Vec::new();
        for _ in 0..MOST_PAGES {
            let offset = groups.len();
            let ask = Ask::get(NOVA, &["os-server-groups"])
                .query("limit", PAGE.to_string())
                .query("offset", offset.to_string())
                .needs(2, 64);
            let page: Vec<NovaServerGroup> = self.session.list(ask, "server_groups").await?;
            let is_new = |group: &NovaServerGroup| groups.iter().all(|known| known.id != group.id);
            let new: Vec<NovaServerGroup> = page.into_iter().filter(is_new).collect();
            if new.is_empty() {
                break;
            }
            groups.extend(new);
        }
        Ok(groups)
    }

    /// `GET /os-server-groups/{id}` (2.64). Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn server_group(&self, id: &str) -> Result<NovaServerGroup, CallError> {
        let ask = Ask::get(NOVA, &["os-server-groups", id]).needs(2, 64);
        self.session.object(ask, "server_group").await
    }

    /// `POST /os-server-groups` (2.64): one of the name, the policy and the rules of `wanted`, whose id does not count. Role:
    /// member of the project. Nova takes a name twice: after `Ambiguous`, look for it before repeating.
    ///
    /// # Errors
    /// As any call; `Forbidden` beyond the project's quota.
    pub async fn create_server_group(
        &self,
        wanted: &KnownServerGroup,
    ) -> Result<NovaServerGroup, CallError> {
        let body = server_group::body(wanted);
        let ask = Ask::post(NOVA, &["os-server-groups"], body).needs(2, 64);
        self.session.object(ask, "server_group").await
    }

    /// `GET /flavors/detail` (2.75), to the last page. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn flavors(&self) -> Result<Vec<NovaFlavor>, CallError> {
        self.session
            .pages(
                Ask::get(NOVA, &["flavors", "detail"]).needs(2, 75),
                "flavors",
            )
            .await
    }

    /// `GET /flavors/{id}` (2.75). Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn flavor(&self, id: &FlavorId) -> Result<NovaFlavor, CallError> {
        self.session
            .object(
                Ask::get(NOVA, &["flavors", id.as_str()]).needs(2, 75),
                "flavor",
            )
            .await
    }

    /// `GET /os-keypairs/{name}` (2.10) of the session's own user: key pairs belong to users, not to projects.
    /// Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn keypair(&self, name: &str) -> Result<Keypair, CallError> {
        self.session
            .object(
                Ask::get(NOVA, &["os-keypairs", name]).needs(2, 10),
                "keypair",
            )
            .await
    }

    /// `GET /os-keypairs/{name}?user_id=` (2.10) of another user. Role: administrator.
    ///
    /// # Errors
    /// As any call; `Forbidden` for anybody else.
    pub async fn keypair_of(&self, user: &UserId, name: &str) -> Result<Keypair, CallError> {
        let ask = Ask::get(NOVA, &["os-keypairs", name]).query("user_id", user.as_str());
        self.session.object(ask.needs(2, 10), "keypair").await
    }

    /// `GET /os-keypairs` (2.10) of the session's own user. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn keypairs(&self) -> Result<Vec<Keypair>, CallError> {
        #[derive(Deserialize)]
        struct Row {
            keypair: Keypair,
        }
        let rows: Vec<Row> = self
            .session
            .list(Ask::get(NOVA, &["os-keypairs"]).needs(2, 10), "keypairs")
            .await?;
        Ok(rows.into_iter().map(|row| row.keypair).collect())
    }

    /// `POST /os-keypairs` (2.2): imports a public key for the session's own user. Role: any.
    ///
    /// # Errors
    /// As any call; `Conflict` when the user has one of that name.
    pub async fn import_keypair(
        &self,
        name: &str,
        public_key: &str,
        kind: KeypairKind,
    ) -> Result<(), CallError> {
        let body = json!({"keypair": {"name": name, "public_key": public_key, "type": kind}});
        self.session
            .done(Ask::post(NOVA, &["os-keypairs"], body).needs(2, 2))
            .await
    }

    /// `DELETE /os-keypairs/{name}` of the session's own user. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete_keypair(&self, name: &str) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(NOVA, &["os-keypairs", name]))
            .await
    }

    /// `GET /os-services` (2.53), of one binary where given. Role: admin by default; where policy lets a member
    /// see it, the state of a server's host can be checked.
    ///
    /// # Errors
    /// As any call; `Forbidden` on most clouds.
    pub async fn services(&self, binary: Option<&str>) -> Result<Vec<ComputeService>, CallError> {
        self.session
            .list(
                Ask::get(NOVA, &["os-services"])
                    .query_if("binary", binary)
                    .needs(2, 53),
                "services",
            )
            .await
    }

    /// `GET /limits`: the project's absolute limits and use. Role: any.
    ///
    /// # Errors
    /// As any call.
    pub async fn limits(&self) -> Result<ComputeLimits, CallError> {
        #[derive(Deserialize)]
        struct Limits {
            absolute: ComputeLimits,
        }
        Ok(self
            .session
            .object::<Limits>(Ask::get(NOVA, &["limits"]), "limits")
            .await?
            .absolute)
    }

    /// `GET /os-quota-sets/{project}/detail`: limit, use and reservation by resource. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn quota(
        &self,
        project: &ProjectId,
    ) -> Result<BTreeMap<String, QuotaUsage>, CallError> {
        let ask = Ask::get(NOVA, &["os-quota-sets", project.as_str(), "detail"]);
        self.session
            .object(ask, "quota_set")
            .await
            .map(quota_set::usages)
    }
}

#[cfg(test)]
mod tests;

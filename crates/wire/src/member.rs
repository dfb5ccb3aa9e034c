//! Members of protection groups on the wire.

use std::{collections::BTreeMap, net::IpAddr};

use protector_core::{
    member::{Flavor, Member, Nic, ProtectedVolume},
    server_group::ServerGroup,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    page::{Link, SortDir},
    text::Timestamp,
};

/// Body of `POST …/members`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// The member to add.
    pub member: NewMember,
}

/// A server to protect.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// The server on the site where the group runs now.
    pub server_id: Uuid,
    /// The server's user data in base64, where the cloud does not show it to the service.
    pub user_data: Option<String>,
}

/// Answer with one member.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MemberAnswer {
    /// The member.
    pub member: MemberView,
}

/// Query of the list of members.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MemberQuery {
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last member of the page before.
    pub marker: Option<String>,
    /// Only the members of this name.
    pub name: Option<String>,
    /// Only members in this status: `protected` or `error`.
    pub status: Option<String>,
    /// `name` (default), `status`, `created_at` or `updated_at`.
    #[serde(default)]
    pub sort_key: MemberSortKey,
    /// `asc` (default) or `desc`.
    pub sort_dir: Option<SortDir>,
}

/// Query of the removal of a member.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveMember {
    /// Also one that was not recovered: nothing brings up what is left of it once it has left the group.
    #[serde(default)]
    pub give_up: bool,
}

/// What members are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberSortKey {
    /// Their names.
    #[default]
    Name,
    /// Their status words.
    Status,
    /// When they were added.
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
}

/// Answer with a page of a group's members.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MembersAnswer {
    /// The members.
    pub members: Vec<MemberView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_links: Option<Vec<Link>>,
}

/// A member of a protection group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// The member's id, the same on both sites and over all failovers.
    pub id: String,
    /// The server's name.
    pub name: String,
    /// The server on the site where the group runs now.
    pub server_id: String,
    /// `protected` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The flavor.
    pub flavor: FlavorView,
    /// The network cards, in order.
    pub networks: Vec<NicView>,
    /// Names of its security groups.
    pub security_groups: Vec<String>,
    /// Its key pair's name.
    pub key_name: Option<String>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its availability zone.
    pub availability_zone: Option<String>,
    /// Its server group, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_group: Option<ServerGroupView>,
    /// Its volumes, the boot volume first, then by device.
    pub volumes: Vec<VolumeView>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Of one that was just added: what of the server does not come along, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A member's flavor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FlavorView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram: u64,
}

/// A member's server group on the site where the group runs now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServerGroupView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `affinity`, `anti-affinity`, `soft-affinity` or `soft-anti-affinity`.
    pub policy: String,
}

/// A member's network card.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NicView {
    /// The network.
    pub network_id: String,
    /// Its fixed addresses there.
    #[schema(value_type = Vec<String>)]
    pub fixed_ips: Vec<IpAddr>,
}

/// A member's volume.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VolumeView {
    /// The volume on the site where the group runs now.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its size in GiB.
    pub size: u64,
    /// Its device in the server.
    pub device: String,
    /// Whether the server boots from it.
    pub boot: bool,
    /// Whether Nova deletes it with the server.
    pub delete_on_termination: bool,
}

impl From<&Member> for MemberView {
    fn from(member: &Member) -> Self {
        let spec = &member.server;
        Self {
            id: member.id.to_string(),
            name: member.name.clone(),
            server_id: member.server_id.to_string(),
            status: member.status.as_str(),
            flavor: (&spec.flavor).into(),
            networks: spec.nics.iter().map(NicView::from).collect(),
            security_groups: spec.security_groups.clone(),
            key_name: spec.key_pair.as_ref().map(|pair| pair.name.clone()),
            metadata: spec.metadata.clone(),
            availability_zone: spec.availability_zone.clone(),
            server_group: spec.server_group.as_ref().map(ServerGroupView::from),
            volumes: member.volumes.iter().map(VolumeView::from).collect(),
            created_at: member.created_at.into(),
            updated_at: member.updated_at.into(),
            warnings: Vec::new(),
        }
    }
}

impl From<&Flavor> for FlavorView {
    fn from(flavor: &Flavor) -> Self {
        Self {
            id: flavor.id.to_string(),
            name: flavor.name.clone(),
            vcpus: flavor.vcpus,
            ram: flavor.ram_mib,
        }
    }
}

impl From<&ServerGroup> for ServerGroupView {
    fn from(group: &ServerGroup) -> Self {
        Self {
            id: group.id.clone(),
            name: group.name.clone(),
            policy: group.policy.clone(),
        }
    }
}

impl From<&Nic> for NicView {
    fn from(nic: &Nic) -> Self {
        Self {
            network_id: nic.network_id.to_string(),
            fixed_ips: nic.fixed_ips.clone(),
        }
    }
}

impl From<&ProtectedVolume> for VolumeView {
    fn from(volume: &ProtectedVolume) -> Self {
        Self {
            id: volume.id.to_string(),
            name: volume.name.clone(),
            size: volume.size_gib,
            device: volume.device.clone(),
            boot: volume.boot,
            delete_on_termination: volume.delete_on_termination,
        }
    }
}

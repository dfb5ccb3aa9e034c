//! A member of a protection group: one Nova server, its volumes, and all that is needed to build it again.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    confidential::{Confidential, Field, HoldsConfidential},
    id::{FlavorId, GroupId, MemberId, NetworkId, ServerId, VolumeId},
};

/// Whether a member can be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// Known with all its volumes, and replicated.
    Protected,
    /// Could not be recreated by the last operation.
    Error,
}

impl MemberStatus {
    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Error => "error",
        }
    }
}

/// A member of a protection group, as it is on the site where the group runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id, the same on both sites and over all failovers.
    pub id: MemberId,
    /// Its group.
    pub group_id: GroupId,
    /// The server's name when it was added.
    pub name: String,
    /// The server on the site where the group runs now.
    pub server_id: ServerId,
    /// Whether it can be recovered.
    pub status: MemberStatus,
    /// How to build it again.
    pub server: ServerSpec,
    /// Its volumes, in the order of their devices, the boot volume first.
    pub volumes: Vec<ProtectedVolume>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Member {
    /// The command that takes it out of its group. One that was not recovered is given up by that, and the command says so.
    pub fn removal(&self, group: &str) -> String {
        let given_up = match self.status {
            MemberStatus::Protected => "",
            MemberStatus::Error => " --give-up",
        };
        format!("openstack dr member remove {group} {}{given_up}", self.name)
    }
}

impl HoldsConfidential for Member {
    fn confidential(&self) -> Vec<&Confidential> {
        self.server.user_data.iter().collect()
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        if let Some(user_data) = &mut self.server.user_data {
            visit(Field::UserData { member: &self.id }, user_data);
        }
    }
}

/// All of a server that its copy must have too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// The flavor on the site where the server runs.
    pub flavor: Flavor,
    /// The network cards, in order.
    pub nics: Vec<Nic>,
    /// Names of its security groups.
    pub security_groups: Vec<String>,
    /// Its key pair: the public half, since key pairs belong to users and the copy is built by another user.
    pub key_pair: Option<KeyPair>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its user data, base64 as Nova keeps it. It often holds passwords.
    pub user_data: Option<Confidential>,
    /// Its availability zone.
    pub availability_zone: Option<String>,
    /// Whether it has a config drive.
    pub config_drive: bool,
    /// Its description (Nova 2.19).
    pub description: Option<String>,
}

/// A flavor, by id, with what makes it comparable on another cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavor {
    /// Its id on the cloud where it was seen.
    pub id: FlavorId,
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// The network it is in.
    pub network_id: NetworkId,
    /// Its fixed addresses there.
    pub fixed_ips: Vec<IpAddr>,
}

/// The public half of a key pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// Its name.
    pub name: String,
    /// The public key; `None` where nobody with a right to read it was there when the member was added.
    pub public_key: Option<String>,
    /// `ssh` or `x509`.
    pub kind: String,
}

/// One volume of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedVolume {
    /// The volume on the site where the group runs now.
    pub id: VolumeId,
    /// Its name; empty where it has none.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its device in the server, `/dev/vda`.
    pub device: String,
    /// Whether the server boots from it.
    pub boot: bool,
    /// Whether Nova deletes it with the server. Kept for the copy.
    pub delete_on_termination: bool,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// What its image asks of the machine that boots it: firmware, buses, guest agent. Nova reads it off the boot
    /// volume, and an import into Cinder does not bring it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_properties: BTreeMap<String, String>,
}

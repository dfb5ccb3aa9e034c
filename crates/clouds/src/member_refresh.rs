//! Members as they are now: what a tenant has changed on a server since its group read it is read again, so that its copy is
//! built as the server is and not as it was when it was added.
//!
//! A list tells which servers have been changed, and only those are read whole. What cannot be read stays as it is known: this
//! takes nothing away, and keeps nothing from starting.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use chrono::DateTime;
use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream;
use protector_core::group::Group;
use protector_core::group::GroupStatus;
use protector_core::id::ServerId;
use protector_core::id::VolumeId;
use protector_core::mark;
use protector_core::member::KeyPair;
use protector_core::member::Member;
use protector_core::member::MemberStatus;
use protector_core::member::Nic;
use protector_core::member::PortSpec;
use protector_core::member::ProtectedVolume;
use protector_core::member_settings::ServerSettings;
use protector_core::member_settings::VolumeSettings;
use protector_core::readiness::ServerSeen;
use protector_core::readiness::SourceSeen;
use protector_core::readiness::VolumeSeen;
use protector_core::site::SiteScope;
use protector_store::Database;
use protector_store::Precondition;
use protector_store::StoreError;

use crate::clouds::CloudError;
use crate::clouds::CloudReadings;
use crate::clouds::FoundServer;
use crate::clouds::FoundVolume;
use crate::clouds::ProjectLists;
use crate::member_spec;

/// How many servers are read at a time.
const SIDE_BY_SIDE: usize = 8;

/// Who reads, and where it is kept.
pub struct MemberRefresh<'a> {
    pub database: &'a Database,
    pub clouds: &'a dyn CloudReadings,
    pub now: DateTime<Utc>,
}

impl MemberRefresh<'_> {
    /// Reads again what has been changed of `group`'s members, and returns how many have been. `source` is what the site where
    /// it runs shows now.
    ///
    /// # Errors
    ///
    /// What the database says. A group that is moved or changed meanwhile keeps its members as they are.
    pub async fn of_group(&self, group: &Group, source: &SourceSeen) -> Result<usize, StoreError> {
        if !is_at_rest(group.status) {
            return Ok(0);
        }
        let shown = Shown::of(source);
        let members = self.database.member_list(&group.id).await?;
        let changed = members
            .into_iter()
            .filter(|member| shown.has_changed(member))
            .map(|member| self.database.opened(&group.id, member));
        let lists = ProjectLists::default();
        let renewed: Vec<Member> = stream::iter(changed)
            .map(|member| self.read_again(group, member, &lists))
            .buffered(SIDE_BY_SIDE)
            .filter_map(async |renewed| renewed)
            .collect()
            .await;
        if renewed.is_empty() {
            return Ok(0);
        }
        let precondition = Precondition::Version(group.version);
        let stored = self
            .database
            .members_refresh(&group.id, &renewed, precondition, self.now);
        match stored.await {
            Ok(()) => Ok(renewed.len()),
            Err(
                StoreError::GroupChanged { .. }
                | StoreError::Locked { .. }
                | StoreError::Unchangeable { .. }
                | StoreError::Reserved { .. },
            ) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The member as it is now; `None` where it is not there, cannot be read, or is as it was.
    async fn read_again(
        &self,
        group: &Group,
        member: Member,
        lists: &ProjectLists,
    ) -> Option<Member> {
        match self.now_of(group.current(), &member, lists).await {
            Ok(now) => {
                let now = now.filter(|now| *now != member)?;
                let now = member.changed_to(now, self.now, group.last_replication_at);
                Some(Member {
                    updated_at: self.now,
                    ..now
                })
            }
            Err(error) => {
                tracing::info!(member = member.name, %error, "a member cannot be read again");
                None
            }
        }
    }

    async fn now_of(
        &self,
        scope: &SiteScope,
        member: &Member,
        lists: &ProjectLists,
    ) -> Result<Option<Member>, CloudError> {
        let found = self
            .clouds
            .server_of_round(scope, &member.server_id, lists)
            .await?;
        let settled = found
            .filter(|server| server.project_id == scope.project_id && server.task_state.is_none());
        let Some(server) = settled else {
            return Ok(None);
        };
        let mut volumes = BTreeMap::new();
        for known in &member.volumes {
            if let Some(volume) = self.clouds.volume(scope, &known.id).await? {
                volumes.insert(known.id.clone(), volume);
            }
        }
        let key_pair = self.key_pair(scope, member, &server).await;
        Ok(Some(as_now(member, &server, key_pair, &volumes)))
    }

    /// The server's key pair: the one that is known, or the one of who made the server that it has now.
    pub async fn key_pair(
        &self,
        scope: &SiteScope,
        member: &Member,
        server: &FoundServer,
    ) -> Option<KeyPair> {
        let name = server.key_name.as_ref()?;
        if let Some(known) = &member.server.key_pair
            && known.name == *name
        {
            return Some(known.clone());
        }
        let owner = server.user_id.as_ref()?;
        let read = self.clouds.key_pair(&scope.site, owner, name, None).await;
        read.inspect_err(|error| tracing::info!(name, %error, "a key pair cannot be read"))
            .ok()
            .flatten()
    }
}

/// Nothing moves the group, and its members run where its record says.
fn is_at_rest(status: GroupStatus) -> bool {
    matches!(
        status,
        GroupStatus::Active
            | GroupStatus::ActivePartial
            | GroupStatus::FailedOver
            | GroupStatus::FailedOverPartial
    )
}

/// What a site shows, by id: a group of hundreds is looked up, not searched.
struct Shown<'s> {
    servers: BTreeMap<&'s ServerId, &'s ServerSeen>,
    volumes: BTreeMap<&'s VolumeId, &'s VolumeSeen>,
    /// By their MAC addresses.
    ports: BTreeMap<(&'s ServerId, &'s str), &'s PortSpec>,
}

impl<'s> Shown<'s> {
    fn of(source: &'s SourceSeen) -> Self {
        let servers = source.servers.iter().flatten();
        let volumes = source.volumes.iter().flatten();
        let ports = source.port_settings.iter().flatten();
        Self {
            ports: ports
                .map(|(server, port)| ((server, port.mac_address.as_str()), port))
                .collect(),
            servers: servers.map(|server| (&server.id, server)).collect(),
            volumes: volumes.map(|volume| (&volume.id, volume)).collect(),
        }
    }

    /// Whether a member is not as its group knows it. Of what is not shown nothing is known.
    fn has_changed(&self, member: &Member) -> bool {
        let Some(server) = self.servers.get(&member.server_id) else {
            return false;
        };
        let known = ServerSettings::known(member);
        member.status == MemberStatus::Protected
            && (!known.differing(&server.settings).is_empty()
                || !has_its_flavor(member, server)
                || self.has_other_ports(member)
                || !has_its_floating_ips(member, server)
                || member.volumes.iter().any(|known| self.has_other(known)))
    }

    /// Of a copy whose port has another MAC address than its original nothing is known.
    fn has_other_ports(&self, member: &Member) -> bool {
        let is_copy = member.server.metadata.contains_key(mark::SOURCE);
        let known = member
            .server
            .nics
            .iter()
            .filter_map(|nic| nic.port.as_ref());
        known.into_iter().any(|known| {
            let place = (&member.server_id, known.mac_address.as_str());
            self.ports.get(&place).is_some_and(|seen| match is_copy {
                true => port_as_the_original_had(known, (*seen).clone()).is_set_otherwise(known),
                false => seen.is_set_otherwise(known),
            })
        })
    }

    fn has_other(&self, known: &ProtectedVolume) -> bool {
        let seen = self.volumes.get(&known.id);
        seen.is_some_and(|seen| VolumeSettings::known(known).differ(&seen.settings()))
    }
}

fn has_its_floating_ips(member: &Member, server: &ServerSeen) -> bool {
    let known = member.floating_ips().map(|(_, floating)| floating.address);
    known.collect::<BTreeSet<_>>() == server.floating_ips
}

fn has_its_flavor(member: &Member, server: &ServerSeen) -> bool {
    let flavor = &member.server.flavor;
    (server.flavor_name.as_str(), server.vcpus, server.ram_mib)
        == (flavor.name.as_str(), flavor.vcpus.into(), flavor.ram_mib)
}

/// The member as a planned move would build it: with what its server and those of its volumes that are in `volumes` are now.
pub fn as_now(
    member: &Member,
    server: &FoundServer,
    key_pair: Option<KeyPair>,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> Member {
    let mut now = renewed(member, server, key_pair);
    let mut fresh: BTreeMap<_, _> = member_spec::protected_volumes(server, volumes)
        .into_iter()
        .map(|volume| (volume.id.clone(), volume))
        .collect();
    for volume in &mut now.volumes {
        if let Some(fresh) = fresh.remove(&volume.id) {
            *volume = ProtectedVolume {
                delete_on_termination_at: volume.delete_on_termination_at.take(),
                ..fresh
            };
        }
    }
    now
}

/// The member with what its server is now. Of a copy that a move has made, what may have been lost on the way stays as its
/// original had it, for the way back.
fn renewed(member: &Member, server: &FoundServer, key_pair: Option<KeyPair>) -> Member {
    let known = &member.server;
    let mut spec = member_spec::server_spec(server, key_pair, None);
    spec.user_data = spec.user_data.or_else(|| known.user_data.clone());
    if known.metadata.contains_key(mark::SOURCE) {
        spec.key_pair.clone_from(&known.key_pair);
        spec.nics = as_the_original_had(&known.nics, spec.nics);
        spec.availability_zone.clone_from(&known.availability_zone);
        spec.config_drive = known.config_drive;
        spec.hostname.clone_from(&known.hostname);
        spec.server_group = spec.server_group.or_else(|| known.server_group.clone());
    }
    Member {
        name: server.name.clone(),
        server: spec,
        ..member.clone()
    }
}

/// The cards of a copy, with what policy or another's use may have kept from it as its original had it.
fn as_the_original_had(known: &[Nic], now: Vec<Nic>) -> Vec<Nic> {
    if known.len() != now.len() {
        return those_of_known_ports(known, &now);
    }
    let both = known.iter().zip(now);
    both.map(|(known, now)| Nic {
        port: match (&known.port, now.port) {
            (Some(had), Some(has)) => Some(port_as_the_original_had(had, has)),
            (had, has) => had.clone().or(has),
        },
        ..known.clone()
    })
    .collect()
}

/// The known cards of a copy that has another number of them: which is which is told by their MAC addresses alone.
fn those_of_known_ports(known: &[Nic], now: &[Nic]) -> Vec<Nic> {
    let mut cards = known.to_vec();
    for port in cards.iter_mut().filter_map(|nic| nic.port.as_mut()) {
        let mut ports = now.iter().filter_map(|nic| nic.port.as_ref());
        if let Some(has) = ports.find(|has| has.mac_address == port.mac_address) {
            *port = port_as_the_original_had(port, has.clone());
        }
    }
    cards
}

fn port_as_the_original_had(had: &PortSpec, has: PortSpec) -> PortSpec {
    let lost_its_switch = had.port_security_enabled == Some(false);
    let mut pairs = has.allowed_address_pairs.iter();
    let lost_pairs = pairs.all(|pair| had.allowed_address_pairs.contains(pair));
    PortSpec {
        mac_address: had.mac_address.clone(),
        port_security_enabled: match lost_its_switch {
            true => had.port_security_enabled,
            false => has.port_security_enabled,
        },
        allowed_address_pairs: match lost_pairs {
            true => had.allowed_address_pairs.clone(),
            false => has.allowed_address_pairs.clone(),
        },
        extra_dhcp_opts: match has.extra_dhcp_opts.is_empty() {
            true => had.extra_dhcp_opts.clone(),
            false => has.extra_dhcp_opts.clone(),
        },
        dns_domain: match has.dns_domain.is_empty() {
            true => had.dns_domain.clone(),
            false => has.dns_domain.clone(),
        },
        qos_policy: has.qos_policy.clone().or_else(|| had.qos_policy.clone()),
        ..has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(mac: &str, ids: &[(&str, &str)]) -> Nic {
        let ids = ids.iter();
        Nic {
            network_id: "net".into(),
            fixed_ips: Vec::new(),
            tag: None,
            port: Some(PortSpec {
                mac_address: mac.to_owned(),
                security_groups: vec!["web".to_owned()],
                security_group_ids: ids
                    .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
                    .collect(),
                ..PortSpec::default()
            }),
        }
    }

    #[test]
    fn a_copy_with_another_card_is_known_by_its_mac_addresses() {
        let known = [card("m1", &[])];
        let now = vec![card("m2", &[("web", "2")]), card("m1", &[("web", "1")])];
        assert_eq!(
            as_the_original_had(&known, now),
            [card("m1", &[("web", "1")])]
        );
        let others = vec![card("m2", &[("web", "2")]), card("m3", &[("web", "3")])];
        assert_eq!(as_the_original_had(&known, others), known);
    }
}

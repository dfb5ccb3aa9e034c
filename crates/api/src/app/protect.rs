//! What a server must be like to be protected, and what is kept of it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use protector_clouds::{
    clouds::{FoundServer, FoundVolume, FoundVolumeType},
    member_spec::{boot_volume, in_order},
    volume_type::{Eligibility, eligibility},
};
use protector_core::{
    group::ReplicationType,
    id::{SiteName, VolumeId},
    member::KeyPair,
    not_carried::{self, NotCarried, Treatment},
    site::SiteScope,
};

use crate::{
    app::refusal::Refusal,
    http::error::{ApiError, ApiResult},
};

/// Refuses a server that cannot be brought to the other site.
pub fn refuse_unprotectable(server: &FoundServer, scope: &SiteScope) -> ApiResult<()> {
    let name = &server.name;
    if server.project_id != scope.project_id {
        return Err(no_such_server(server.id.as_str(), scope));
    }
    if server.traits.boots_from_image || server.attachments.is_empty() {
        return Err(would_be_lost(name, &NotCarried::RootFromImage));
    }
    let settled =
        server.task_state.is_none() && matches!(server.status.as_str(), "ACTIVE" | "SHUTOFF");
    if !settled {
        let task = server
            .task_state
            .as_deref()
            .map(|task| format!(" ({task})"))
            .unwrap_or_default();
        return Err(ApiError::new(
            Refusal::ServerStatus,
            format!(
                "server_id: server {name} is {}{task}; a server is added while it is ACTIVE or SHUTOFF.",
                server.status
            ),
        ));
    }
    Ok(())
}

/// What of the server would not come along, in words for who adds it.
///
/// # Errors
///
/// 400 where that would be lost for good.
pub fn refuse_server_that_would_lose(
    server: &FoundServer,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> ApiResult<Vec<String>> {
    let lost = not_carried_of(server, volumes);
    let refused = |lost: &&NotCarried| lost.treatment() == Treatment::Refused;
    match lost.iter().find(refused) {
        Some(worst) => Err(would_be_lost(&server.name, worst)),
        None => Ok(lost
            .iter()
            .map(|lost| format!("server {} {lost}; {}.", server.name, lost.cure()))
            .collect()),
    }
}

/// What of the server, its ports and those of `volumes` that are attached to it is not carried.
pub fn not_carried_of(
    server: &FoundServer,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> Vec<NotCarried> {
    let boot = boot_volume(server, &in_order(server));
    let is_attached = |volume: &&FoundVolume| {
        let mut attached = server.attachments.iter();
        attached.any(|place| place.volume_id == volume.id)
    };
    let of_volumes = volumes.values().filter(is_attached).flat_map(|volume| {
        let boots = Some(&volume.id) == boot.as_ref();
        not_carried::of_volume(&label(&volume.name, &volume.id), boots, &volume.traits)
    });
    let of_ports = server.ports.iter().flat_map(not_carried::of_port);
    not_carried::of_server(&server.traits)
        .into_iter()
        .chain(of_volumes)
        .chain(of_ports)
        .collect()
}

/// That the copy will not have the server's key pair, where nobody could read that.
pub fn key_pair_not_told(server: &FoundServer, read: Option<&KeyPair>) -> Option<String> {
    let name = server.key_name.clone().filter(|_| read.is_none())?;
    let lost = NotCarried::KeyPair { name };
    Some(format!("server {} {lost}; {}.", server.name, lost.cure()))
}

fn would_be_lost(server: &str, lost: &NotCarried) -> ApiError {
    ApiError::bad_request(format!(
        "server_id: server {server} {lost}; {}.",
        lost.cure()
    ))
}

/// The refusal of a server that the tenant's project does not have.
pub fn no_such_server(server: &str, scope: &SiteScope) -> ApiError {
    ApiError::bad_request(format!(
        "server_id: project {} on {} has no server {server}.",
        scope.project_id, scope.site
    ))
}

/// Refuses a volume whose type is not replicated as the group is.
pub fn refuse_ineligible(
    volume: &FoundVolume,
    types: &[FoundVolumeType],
    wanted: ReplicationType,
    site: &SiteName,
) -> ApiResult<()> {
    let label = label(&volume.name, &volume.id);
    let refuse = |why: String| {
        Err(ApiError::bad_request(format!(
            "volume {label} is ineligible: {why}."
        )))
    };
    let Some(type_name) = &volume.volume_type else {
        return refuse("it has no volume type".to_owned());
    };
    let Some(found) = types
        .iter()
        .find(|known| &known.name == type_name || &known.id == type_name)
    else {
        return refuse(format!(
            "its volume type {type_name} is not among those of {site}"
        ));
    };
    match eligibility(found) {
        Eligibility::Replicated(replication) if replication == wanted => Ok(()),
        Eligibility::Replicated(replication) => refuse(format!(
            "its volume type {type_name} replicates {}, the group replicates {}",
            replication.as_str(),
            wanted.as_str()
        )),
        Eligibility::Ineligible(why) => {
            refuse(format!("its volume type is {type_name}, and {why}"))
        }
    }
}

/// The refusal of a volume that lives elsewhere than the policy's array.
pub fn foreign_backend(name: &str, id: &VolumeId, array: &str) -> ApiError {
    ApiError::bad_request(format!(
        "volume {} is on a foreign backend: it is not an object of array {array}, which the group's replication policy names.",
        label(name, id)
    ))
}

fn label(name: &str, id: &VolumeId) -> String {
    if name.is_empty() {
        id.to_string()
    } else {
        format!("{name} ({id})")
    }
}

/// Refuses user data that Nova would refuse on the day of the failover: not base64, or more than 65535 bytes of it.
pub fn refuse_bad_user_data(user_data: Option<&str>) -> ApiResult<()> {
    let Some(text) = user_data else { return Ok(()) };
    if STANDARD.decode(text).is_err() {
        return Err(ApiError::bad_request(
            "user_data: must be base64, as 'base64 -w0 FILE' prints it.",
        ));
    }
    if text.len() > 65_535 {
        return Err(ApiError::bad_request(
            "user_data: must be at most 65535 bytes of base64, Nova's limit.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protector_clouds::{
        clouds::FoundAttachment,
        member_spec::{protected_volumes, server_spec},
    };
    use protector_core::{
        member::Flavor,
        not_carried::{PortTraits, ServerTraits, VolumeTraits},
    };

    use super::*;

    fn place(volume: &str, device: &str) -> FoundAttachment {
        FoundAttachment {
            volume_id: volume.into(),
            device: device.to_owned(),
            delete_on_termination: false,
            tag: None,
        }
    }

    fn server() -> FoundServer {
        FoundServer {
            id: "s".into(),
            name: "web".to_owned(),
            project_id: "p".into(),
            user_id: None,
            status: "ACTIVE".to_owned(),
            task_state: None,
            traits: ServerTraits::default(),
            ports: vec![],
            root_device: Some("/dev/vda".to_owned()),
            flavor: Flavor {
                id: "f".into(),
                name: "small".to_owned(),
                vcpus: 1,
                ram_mib: 512,
                disks: None,
            },
            nics: vec![],
            security_groups: vec![],
            key_name: Some("alice".to_owned()),
            metadata: BTreeMap::new(),
            user_data: None,
            availability_zone: None,
            config_drive: false,
            description: None,
            tags: vec![],
            hostname: None,
            server_group: None,
            attachments: vec![
                place("far", "/dev/vdaa"),
                place("data", "/dev/vdb"),
                place("boot", "/dev/vda"),
            ],
        }
    }

    fn volume(id: &str) -> FoundVolume {
        FoundVolume {
            id: id.into(),
            name: id.to_owned(),
            size_gib: 1,
            volume_type: Some("gold".to_owned()),
            traits: VolumeTraits::default(),
            metadata: BTreeMap::new(),
            image_properties: BTreeMap::new(),
            description: None,
            bootable: None,
            volume_type_id: None,
            name_id: None,
            host: None,
        }
    }

    fn scope() -> SiteScope {
        SiteScope {
            site: "site-a".into(),
            project_id: "p".into(),
        }
    }

    #[test]
    fn volumes_come_boot_first_then_by_device() {
        let found = ["boot", "data", "far"]
            .map(|id| (VolumeId::from(id), volume(id)))
            .into();
        let volumes = protected_volumes(&server(), &found);
        let order: Vec<(&str, bool)> = volumes.iter().map(|v| (v.name.as_str(), v.boot)).collect();
        assert_eq!(order, [("boot", true), ("data", false), ("far", false)]);
        let late_root = FoundServer {
            root_device: Some("/dev/vdb".to_owned()),
            ..server()
        };
        assert_eq!(protected_volumes(&late_root, &found)[0].name, "data");
    }

    #[test]
    fn an_image_booted_busy_or_foreign_server_is_refused() {
        assert!(refuse_unprotectable(&server(), &scope()).is_ok());
        let image = FoundServer {
            traits: ServerTraits {
                boots_from_image: true,
                ..ServerTraits::default()
            },
            ..server()
        };
        let busy = FoundServer {
            task_state: Some("deleting".to_owned()),
            ..server()
        };
        let broken = FoundServer {
            status: "ERROR".to_owned(),
            ..server()
        };
        let foreign = FoundServer {
            project_id: "q".into(),
            ..server()
        };
        for server in [image, busy, broken, foreign] {
            let error = refuse_unprotectable(&server, &scope()).unwrap_err();
            assert!(error.message().starts_with("server_id: "), "{error}");
        }
    }

    fn refusal(server: &FoundServer, found: &FoundVolume) -> String {
        let found = [(found.id.clone(), found.clone())].into();
        let refused = refuse_server_that_would_lose(server, &found);
        refused.unwrap_err().message().to_owned()
    }

    #[test]
    fn what_would_be_lost_for_good_is_refused_with_the_cure() {
        let whole = || (server(), volume("boot"));
        let (mut ephemeral, plain) = whole();
        ephemeral.traits.ephemeral_gib = 20;
        let text = refusal(&ephemeral, &plain);
        assert!(
            text.starts_with("server_id: server web has an ephemeral disk of 20 GiB"),
            "{text}"
        );
        assert!(
            text.contains("resize the server to a flavor without"),
            "{text}"
        );
        let (server, mut encrypted) = whole();
        encrypted.traits.encrypted = true;
        let text = refusal(&server, &encrypted);
        assert!(text.contains("the encrypted volume boot (boot)"), "{text}");
        let (server, mut shared) = whole();
        shared.traits.multiattach = true;
        assert!(refusal(&server, &shared).contains("multi-attach"));
        let (server, mut optical) = whole();
        let iso = ("disk_format".to_owned(), "iso".to_owned());
        optical.traits.image = [iso].into();
        assert!(refusal(&server, &optical).contains("ISO image"));
        let (mut trunk, plain) = whole();
        trunk.ports = vec![PortTraits {
            subports: Some(2),
            ..PortTraits::default()
        }];
        assert!(refusal(&trunk, &plain).contains("trunk of 2"));
    }

    #[test]
    fn what_a_copy_comes_up_without_is_told() {
        let mut swapping = server();
        swapping.traits.swap_mib = 512;
        let told = refuse_server_that_would_lose(&swapping, &BTreeMap::new()).unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("swap disk of 512 MiB"), "{told:?}");
    }

    #[test]
    fn a_key_pair_that_nobody_could_read_keeps_its_name() {
        let spec = server_spec(&server(), None, None);
        let pair = spec.key_pair.unwrap();
        assert_eq!((pair.name.as_str(), pair.public_key), ("alice", None));
    }

    #[test]
    fn user_data_must_be_base64() {
        assert!(refuse_bad_user_data(Some("I2Nsb3VkLWNvbmZpZw==")).is_ok());
        assert!(refuse_bad_user_data(Some("#cloud-config")).is_err());
    }

    #[test]
    fn an_ineligible_volume_is_named_with_the_reason() {
        let plain = FoundVolumeType {
            id: "t".to_owned(),
            name: "gold".to_owned(),
            extra_specs: BTreeMap::new(),
        };
        let error = refuse_ineligible(&volume("v"), &[plain], ReplicationType::Async, &"a".into())
            .unwrap_err();
        assert!(
            error.message().contains("volume v (v) is ineligible"),
            "{error}"
        );
        assert!(error.message().contains("replication_enabled"), "{error}");
    }
}

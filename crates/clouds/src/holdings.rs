//! What a cloud holds in a tenant's project: its servers, volumes, their users, and the quota.
//!
//! Lists are read to their last page. A resource that a caller expects and that the lists do not show is asked for by
//! its id: Nova's lists leave out servers that are soft-deleted.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use protector_core::guard::Power;
use protector_core::guard::status_in_words;
use protector_core::id::ServerId;
use protector_core::id::VolumeId;
use protector_core::orphan::CloudResource;
use protector_core::runbook::resource::ResourceKind;
use protector_core::site::SiteScope;
use protector_openstack::cloud::Cloud;
use protector_openstack::compute::Server;
use protector_openstack::compute::ServerFilter;
use protector_openstack::error::CallError;
use protector_openstack::error::ErrorClass;
use protector_openstack::quota_set::QuotaUsage;
use protector_openstack::volume::Snapshot;
use protector_openstack::volume::Volume;
use protector_openstack::volume::VolumeFilter;

use crate::clouds::CloudError;
use crate::clouds::Expected;
use crate::clouds::Holdings;
use crate::clouds::ProjectQuota;
use crate::clouds::QuotaShare;
use crate::site_sessions::told;

/// How many resources are asked for by their ids at once.
const SIDE_BY_SIDE: usize = 8;

/// Reads all of `scope`'s project that `cloud`, a session in that project, shows.
pub(crate) async fn read(
    cloud: &Cloud,
    scope: &SiteScope,
    expected: &[Expected],
) -> Result<Holdings, CloudError> {
    let (compute, volume) = (cloud.compute(), cloud.volume());
    let (servers, volumes) = (ServerFilter::all(), VolumeFilter::all());
    let project = &scope.project_id;
    let (servers, volumes, snapshots, instances, disks) = tokio::join!(
        compute.servers(&servers),
        volume.volumes(&volumes),
        volume.all_snapshots(),
        compute.quota(project),
        volume.quota(project),
    );
    let tell = |error: CallError| told(&scope.site, &error);
    let servers = servers.map_err(tell)?;
    let volumes = volumes.map_err(tell)?;
    let known =
        (!servers.is_empty() || instances.is_ok()) && (!volumes.is_empty() || disks.is_ok());
    if !known {
        return Err(CloudError::Refused {
            site: scope.site.clone(),
            why: format!(
                "it shows nothing of project {project}, not even its quota, so that what is missing may be there"
            ),
        });
    }
    let mut held: Vec<CloudResource> = servers.into_iter().map(held_server).collect();
    held.extend(volumes.into_iter().map(held_volume));
    held.extend(missing(cloud, scope, &held, expected).await?);
    with_snapshots(&mut held, snapshots.map_err(tell)?);
    Ok(Holdings {
        held,
        quota: quota(instances.ok(), disks.ok()),
    })
}

/// The expected resources that the lists did not show and that are there all the same.
async fn missing(
    cloud: &Cloud,
    scope: &SiteScope,
    held: &[CloudResource],
    expected: &[Expected],
) -> Result<Vec<CloudResource>, CloudError> {
    let absent: Vec<Expected> = expected
        .iter()
        .filter(|wanted| !shows(held, wanted))
        .cloned()
        .collect();
    let asked = absent
        .into_iter()
        .map(|wanted| one(cloud.clone(), scope.clone(), wanted));
    let found: Vec<Option<CloudResource>> = stream::iter(asked)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn shows(held: &[CloudResource], wanted: &Expected) -> bool {
    held.iter()
        .any(|held| held.kind == wanted.kind && held.id == wanted.id)
}

async fn one(
    cloud: Cloud,
    scope: SiteScope,
    wanted: Expected,
) -> Result<Option<CloudResource>, CloudError> {
    let read = match wanted.kind {
        ResourceKind::Server => {
            let id = ServerId::new(&wanted.id);
            cloud.compute().server(&id).await.map(held_server)
        }
        ResourceKind::Volume => {
            let id = VolumeId::new(&wanted.id);
            cloud.volume().volume(&id).await.map(held_volume)
        }
        // Nobody expects one: they are looked for where they are deleted.
        ResourceKind::Port | ResourceKind::FloatingIp => return Ok(None),
    };
    match read {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(told(&scope.site, &error)),
    }
}

fn held_server(server: Server) -> CloudResource {
    CloudResource {
        kind: ResourceKind::Server,
        id: server.id.to_string(),
        name: server.name,
        project_id: server.project_id,
        status: status_in_words(server.status.as_str(), Power::of_nova(server.power_state)),
        size_gib: None,
        created_at: server.created,
        metadata: server.metadata,
        servers: Vec::new(),
        snapshots: Vec::new(),
    }
}

fn held_volume(volume: Volume) -> CloudResource {
    CloudResource {
        kind: ResourceKind::Volume,
        id: volume.id.to_string(),
        name: volume.name.unwrap_or_default(),
        project_id: volume.project_id,
        status: volume.status.as_str().to_owned(),
        size_gib: Some(volume.size),
        created_at: volume.created_at,
        metadata: volume.metadata,
        servers: volume
            .attachments
            .into_iter()
            .map(|place| place.server_id.to_string())
            .collect(),
        snapshots: Vec::new(),
    }
}

fn with_snapshots(held: &mut [CloudResource], snapshots: Vec<Snapshot>) {
    let mut by_volume: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for snapshot in snapshots {
        by_volume
            .entry(snapshot.volume_id.to_string())
            .or_default()
            .push(snapshot.id.to_string());
    }
    for volume in held
        .iter_mut()
        .filter(|held| held.kind == ResourceKind::Volume)
    {
        volume.snapshots = by_volume.remove(&volume.id).unwrap_or_default();
    }
}

type Usages = BTreeMap<String, QuotaUsage>;

fn quota(compute: Option<Usages>, volume: Option<Usages>) -> Option<ProjectQuota> {
    let share = |usages: &Option<Usages>, name: &str| {
        let usage = usages.as_ref()?.get(name)?;
        Some(QuotaShare {
            used: usage.in_use,
            limit: usage.limit,
        })
    };
    Some(ProjectQuota {
        instances: share(&compute, "instances")?,
        volumes: share(&volume, "volumes")?,
        gigabytes: share(&volume, "gigabytes")?,
    })
}

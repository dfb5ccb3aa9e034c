//! Taking a server into a protection group: everything is read fresh from the cloud where the group runs now.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use protector_core::{
    group::Group,
    id::{MemberId, ServerId, VolumeId},
    member::{KeyPair, Member, MemberStatus},
    site::SiteScope,
};

use super::{App, policy, protect};
use crate::{
    caller::Caller,
    clouds::{FoundServer, FoundVolume},
    error::{ApiError, ApiResult},
    wire::member::NewMember,
};

/// The member that the server would be. Refuses what cannot be brought to the other site. Nothing is stored yet.
pub async fn captured(
    app: &App,
    caller: &Caller,
    group: &Group,
    new: NewMember,
) -> ApiResult<Member> {
    protect::refuse_bad_user_data(new.user_data.as_deref())?;
    let scope = group.current();
    let id = ServerId::new(new.server_id.to_string());
    let server = app
        .clouds
        .server(scope, &id)
        .await?
        .ok_or_else(|| protect::no_such_server(id.as_str(), scope))?;
    protect::refuse_unprotectable(&server, scope)?;
    let volumes = volumes(app, scope, &server).await?;
    refuse_unreplicated(app, group, &volumes).await?;
    let key_pair = key_pair(app, caller, scope, &server).await;
    let now = app.clock.now();
    Ok(Member {
        id: MemberId::new(app.ids.uuid().to_string()),
        group_id: group.id.clone(),
        name: server.name.clone(),
        server_id: server.id.clone(),
        status: MemberStatus::Protected,
        volumes: protect::protected_volumes(&server, &volumes),
        server: protect::server_spec(&server, key_pair, new.user_data),
        created_at: now,
        updated_at: now,
    })
}

async fn volumes(
    app: &App,
    scope: &SiteScope,
    server: &FoundServer,
) -> ApiResult<BTreeMap<VolumeId, FoundVolume>> {
    let reads = server.attachments.iter().map(async |place| {
        let id = &place.volume_id;
        let found = app.clouds.volume(scope, id).await?;
        found.map(|volume| (id.clone(), volume)).ok_or_else(|| {
            ApiError::conflict(format!(
                "volume {id} is attached to server {} but {} does not show it to project {}.",
                server.name, scope.site, scope.project_id
            ))
        })
    });
    try_join_all(reads)
        .await
        .map(|volumes| volumes.into_iter().collect())
}

/// Every volume must be replicated as the group is and, where the group has a policy, be on its array.
async fn refuse_unreplicated(
    app: &App,
    group: &Group,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> ApiResult<()> {
    let site = &group.current().site;
    let types = app.clouds.volume_types(site).await?;
    for volume in volumes.values() {
        protect::refuse_ineligible(volume, &types, group.replication_type, site)?;
    }
    let Some(held) = app.database.policy_find(&group.id).await? else {
        return Ok(());
    };
    let array = policy::current_array(group, &held);
    for volume in volumes.values() {
        if !policy::holds(app, array, &volume.id).await? {
            return Err(protect::foreign_backend(&volume.name, &volume.id, array));
        }
    }
    Ok(())
}

/// The server's key pair, read in the caller's name: key pairs belong to users. The caller's token is of the local
/// Keystone, so on the other site nobody can be asked; the name is kept either way.
async fn key_pair(
    app: &App,
    caller: &Caller,
    scope: &SiteScope,
    server: &FoundServer,
) -> Option<KeyPair> {
    let name = server.key_name.as_deref()?;
    if scope.site != app.settings.site_name {
        return None;
    }
    match app.clouds.key_pair(&scope.site, caller.token(), name).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(name, %error, "the key pair's public key cannot be read");
            None
        }
    }
}

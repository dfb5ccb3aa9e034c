//! Taking a server into a protection group: everything is read fresh from the cloud where the group runs now.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use protector_clouds::{
    clouds::{FoundServer, FoundVolume},
    member_spec::{protected_volumes, server_spec},
};
use protector_core::{
    group::Group,
    id::{MemberId, ServerId, VolumeId},
    member::{KeyPair, Member, MemberStatus},
    site::SiteScope,
};
use protector_store::{Precondition, StoreError};
use protector_wire::member::NewMember;

use super::{App, policy, protect};
use crate::{
    app::refusal::Refusal,
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
    },
};

/// How often a member is stored anew for a group that others change at the same time.
const TRIES: u32 = 16;

/// A member as it was read, and what that rests on beside where its group runs.
pub struct Captured {
    pub member: Member,
    /// What of the server does not come along, in words for who adds it.
    pub warnings: Vec<String>,
    /// The array that holds its volumes, where the group has a policy.
    array: Option<String>,
}

/// Stores a member that was read for `group`, and returns the version that the group has with it. Reading takes seconds:
/// a group that has got another array meanwhile, or runs elsewhere, or is on its way there, does not get it. What others
/// add to the group at the same time is no hindrance.
///
/// # Errors
///
/// 409 where the group is not as it was, or is moved.
pub async fn stored(app: &App, group: &Group, captured: &Captured) -> ApiResult<u64> {
    let mut version = group.version;
    let mut tried = 1;
    loop {
        let (precondition, now) = (Precondition::Version(version), app.clock.now());
        let inserted = app
            .database
            .member_insert(&captured.member, precondition, now);
        match inserted.await {
            Err(changed @ StoreError::GroupChanged { .. }) => {
                version = unmoved(app, group, captured)
                    .await?
                    .filter(|_| tried < TRIES)
                    .ok_or(changed)?;
            }
            outcome => return Ok(outcome?),
        }
        tried += 1;
    }
}

/// The version that `group` has by now, if what the member rests on is still so.
async fn unmoved(app: &App, group: &Group, captured: &Captured) -> ApiResult<Option<u64>> {
    // In this order: a policy that is changed after the group was read has raised its version.
    let now = app.database.group_show_by_id(&group.id).await?.group;
    let policy = app.database.policy_find(&group.id).await?;
    let array = policy
        .as_ref()
        .map(|held| policy::current_array(&now, held));
    let same = now.current_primary_site == group.current_primary_site
        && array == captured.array.as_deref();
    Ok(same.then_some(now.version))
}

/// The member that the server would be. Refuses what cannot be brought to the other site. Nothing is stored yet.
pub async fn captured(
    app: &App,
    caller: &Caller,
    group: &Group,
    new: NewMember,
) -> ApiResult<Captured> {
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
    let mut warnings = protect::refuse_server_that_would_lose(&server, &volumes)?;
    let array = refuse_unreplicated(app, group, &volumes).await?;
    let key_pair = key_pair(app, caller, scope, &server).await;
    warnings.extend(protect::key_pair_not_told(&server, key_pair.as_ref()));
    let now = app.clock.now();
    let member = Member {
        id: MemberId::new(app.ids.uuid().to_string()),
        group_id: group.id.clone(),
        name: server.name.clone(),
        server_id: server.id.clone(),
        status: MemberStatus::Protected,
        volumes: protected_volumes(&server, &volumes),
        server: server_spec(&server, key_pair, new.user_data),
        earlier: vec![],
        created_at: now,
        updated_at: now,
    };
    Ok(Captured {
        member,
        warnings,
        array,
    })
}

async fn volumes(
    app: &App,
    scope: &SiteScope,
    server: &FoundServer,
) -> ApiResult<BTreeMap<VolumeId, FoundVolume>> {
    let reads =
        server.attachments.iter().map(async |place| {
            let id = &place.volume_id;
            let found = app.clouds.volume(scope, id).await?;
            found.map(|volume| (id.clone(), volume)).ok_or_else(|| {
            ApiError::new(Refusal::VolumeHidden, format!(
                "volume {id} is attached to server {} but {} does not show it to project {}.",
                server.name, scope.site, scope.project_id
            ))
        })
        });
    try_join_all(reads)
        .await
        .map(|volumes| volumes.into_iter().collect())
}

/// Every volume must be replicated as the group is and, where the group has a policy, be on its array, which it returns.
async fn refuse_unreplicated(
    app: &App,
    group: &Group,
    volumes: &BTreeMap<VolumeId, FoundVolume>,
) -> ApiResult<Option<String>> {
    let site = &group.current().site;
    let types = app.clouds.volume_types(site).await?;
    for volume in volumes.values() {
        protect::refuse_ineligible(volume, &types, group.replication_type, site)?;
    }
    let Some(held) = app.database.policy_find(&group.id).await? else {
        return Ok(None);
    };
    let array = policy::current_array(group, &held);
    for volume in volumes.values() {
        if !policy::holds(app, array, &volume.in_cinder()).await? {
            return Err(protect::foreign_backend(&volume.name, &volume.id, array));
        }
    }
    Ok(Some(array.to_owned()))
}

/// The server's key pair. Key pairs belong to users: it is the one of who made the server, never one of the same name that the
/// caller has. A caller who made the server may show it himself, on the site whose token he has.
async fn key_pair(
    app: &App,
    caller: &Caller,
    scope: &SiteScope,
    server: &FoundServer,
) -> Option<KeyPair> {
    let name = server.key_name.as_deref()?;
    let owner = server.user_id.as_ref()?;
    let is_his = scope.site == app.settings.site_name && caller.user_id() == owner;
    let token = is_his.then(|| caller.token());
    match app.clouds.key_pair(&scope.site, owner, name, token).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(name, %owner, %error, "the key pair's public key cannot be read");
            None
        }
    }
}

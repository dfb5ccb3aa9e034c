//! The site that a group is on, read before a start: what it shows, and the members as they are there now.

use protector_clouds::member_refresh::MemberRefresh;
use protector_core::{group::Group, readiness::SourceSeen};
use protector_store::StoredGroup;

use crate::{app::App, http::error::ApiResult};

/// What the site where `group` runs shows now.
pub(crate) async fn source_seen(app: &App, group: &Group) -> SourceSeen {
    let kind = group.replication_type;
    app.clouds.source_seen(group.current(), kind).await
}

/// The group with its members as they are now, where they are not as it knew them: the copies are built from what is read here.
pub(crate) async fn refreshed(
    app: &App,
    stored: &StoredGroup,
    source: &SourceSeen,
) -> ApiResult<Option<StoredGroup>> {
    let refresh = MemberRefresh {
        database: &app.database,
        clouds: &*app.clouds,
        now: app.clock.now(),
    };
    match refresh.of_group(&stored.group, source).await? {
        0 => Ok(None),
        _ => Ok(Some(app.database.group_show_by_id(&stored.group.id).await?)),
    }
}

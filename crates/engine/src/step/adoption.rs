//! The copies of a failed move that could not be taken back, made their group: found by that move's marks, never built and
//! never changed.

use protector_core::{
    fault::Code,
    guard::to_make_it_run,
    id::{ServerId, VolumeId},
    member::Member,
    operation::Mapped,
};
use protector_openstack::{
    cloud::Cloud,
    status::{ServerStatus, VolumeStatus},
    volume::{Volume, VolumeFilter},
};

use super::{
    imported_volume::foreign_user,
    mark,
    marked_counterparts::{CounterpartState, ServerCopy},
    reading,
    site_clouds::SiteClouds,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

/// Steps that find what a failed move has made.
pub(super) struct Adoption<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl Adoption<'_> {
    /// Sees that an original rests, as the failed move left it: what was asked of it since that found it stopped counts.
    pub(super) async fn check_at_rest(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let noted = cx.known(|map| map.last_action(source_id));
        let asked = match noted {
            Some(_) => None,
            // Before the server: what is asked for in between is then above the note.
            None => Some(self.clouds.asked_of(cx, source_id).await?),
        };
        let member = member(cx, source_id)?.clone();
        if let Some(not_yet) = self.clouds.member_may_write(cx, &member).await? {
            return Ok(not_yet);
        }
        let noted = asked.map(|asked| super::source_at_rest::note(source_id, &asked));
        Ok(Progress::Done(noted.into_iter().collect()))
    }

    /// Finds the import that the failed move has made of a volume.
    pub(super) async fn adopt_volume(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &VolumeId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let volume = the_only(imports(&target, cx, source_id).await?)
            .map_err(|found| not_one_import(cx, source_id, &found))?;
        match &volume.status {
            VolumeStatus::Available => {}
            VolumeStatus::InUse => {
                if let Some(user) = foreign_user(&target, cx, source_id, &volume).await? {
                    return Err(StepError::last(
                        Code::Blocked,
                        format!(
                            "volume {} on {} is in use by {user}, which is not the copy of its member: detach it there, then adopt again",
                            volume.id,
                            cx.plan().target.site
                        ),
                    ));
                }
            }
            VolumeStatus::Reserved | VolumeStatus::Attaching | VolumeStatus::Detaching => {
                return Ok(self
                    .clouds
                    .look_again(format!("volume status {}", volume.status.as_str())));
            }
            status => {
                return Err(StepError::last(
                    Code::Broken,
                    format!(
                        "volume {} on {} is {}: nothing is adopted that cannot be used",
                        volume.id,
                        cx.plan().target.site,
                        status.as_str()
                    ),
                ));
            }
        }
        Ok(Progress::Done(vec![
            Mapped::Volume {
                source: source_id.clone(),
                target: volume.id,
            }
            .into(),
        ]))
    }

    /// Finds the copy that the failed move has built of a server: it runs, and nothing else is a copy of that server.
    pub(super) async fn adopt_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let mut found = self.clouds.copies_on_target(cx, source_id).await?;
        found.retain(|copy| !copy.is_of_a_test());
        if let Some(copy) = found
            .iter()
            .find(|copy| copy.life == CounterpartState::Ending)
        {
            return Ok(self
                .clouds
                .look_again(reading::being_deleted(&copy.server, None)));
        }
        let copy = the_only(found).map_err(|found| not_one_copy(cx, source_id, &found))?;
        refuse_anothers(cx, source_id, &copy)?;
        let server = copy.server;
        let site = &cx.plan().target.site;
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Active, None) => {}
            (ServerStatus::Active | ServerStatus::Build, task) => {
                return Ok(self.clouds.look_again(format!(
                    "server status {} ({})",
                    server.status.as_str(),
                    task.unwrap_or("no task")
                )));
            }
            (status, _) => {
                return Err(StepError::last(
                    Code::Broken,
                    format!(
                        "copy {id} on {site} is {}: {}, then adopt again",
                        status.as_str(),
                        to_make_it_run(status.as_str(), site, server.id.as_str()),
                        id = server.id,
                    ),
                ));
            }
        }
        cx.memo.made = Some(server.id.to_string());
        cx.memo.adopted = true;
        cx.fact(format!(
            "{} was made by operation {}; the group goes forward with it",
            server.id,
            mark::maker(cx.operation)
        ));
        Ok(Progress::Done(vec![
            Mapped::Server {
                source: source_id.clone(),
                target: server.id,
            }
            .into(),
        ]))
    }
}

/// Marks can be copied: what nobody but protector's user has made is the failed move's.
fn refuse_anothers(
    cx: &StepContext<'_>,
    source_id: &ServerId,
    copy: &ServerCopy,
) -> Result<(), StepError> {
    let maker = mark::maker(cx.operation);
    if copy.is_ours && copy.is_of(maker) {
        return Ok(());
    }
    Err(StepError::last(
        Code::Blocked,
        format!(
            "server {} on {} is marked as a copy of {source_id}, and operation {maker} has not made it: it is not adopted; {}",
            copy.server.id,
            cx.plan().target.site,
            mark::take_off(cx.plan().target.site.as_str(), copy.server.id.as_str())
        ),
    ))
}

async fn imports(
    target: &Cloud,
    cx: &StepContext<'_>,
    source_id: &VolumeId,
) -> Result<Vec<Volume>, StepError> {
    let maker = mark::maker(cx.operation);
    let copies = VolumeFilter::marked(mark::SOURCE, source_id.as_str());
    let mut ours = Vec::new();
    for volume in target.volume().volumes(&copies).await.map_err(stop)? {
        if mark::is_ours(&volume.metadata, maker, source_id.as_str())
            && mark::made_as_us(target, volume.user_id.as_ref()).await?
        {
            ours.push(volume);
        }
    }
    Ok(ours)
}

/// The only one of `found`; all of them where there is another number.
fn the_only<T>(found: Vec<T>) -> Result<T, Vec<T>> {
    <[T; 1]>::try_from(found).map(|[one]| one)
}

fn not_one_copy(cx: &StepContext<'_>, id: &ServerId, found: &[ServerCopy]) -> StepError {
    if found.is_empty() {
        return not_there(cx, &format!("copy of server {id}"));
    }
    let copies: Vec<String> = found
        .iter()
        .map(|copy| format!("{}, {}", copy.server.id, copy.server.status.as_str()))
        .collect();
    StepError::last(
        Code::Blocked,
        format!(
            "there is more than one copy of server {id} on {} ({}): delete those that nobody needs, then adopt again; of each of them: {}",
            cx.plan().target.site,
            copies.join("; "),
            mark::take_off(cx.plan().target.site.as_str(), "<id>")
        ),
    )
}

/// Two imports of one volume are two names of the same bytes on the array: deleting one takes them from the other.
fn not_one_import(cx: &StepContext<'_>, id: &VolumeId, found: &[Volume]) -> StepError {
    if found.is_empty() {
        return not_there(cx, &format!("import of volume {id}"));
    }
    let imports: Vec<String> = found
        .iter()
        .map(|volume| format!("{} ({})", volume.id, volume.status.as_str()))
        .collect();
    StepError::last(
        Code::Blocked,
        format!(
            "there is more than one import of volume {id} on {} ({}), and they may be the same bytes: never delete one; an administrator takes the one that the copy does not use out of Cinder with 'cinder unmanage', which leaves the bytes, then adopt again",
            cx.plan().target.site,
            imports.join(", ")
        ),
    )
}

fn not_there(cx: &StepContext<'_>, what: &str) -> StepError {
    let (site, maker) = (&cx.plan().target.site, mark::maker(cx.operation));
    StepError::last(
        Code::Missing,
        format!(
            "the {what} that operation {maker} has made is not on {site} any more: nothing is built in its place; 'openstack dr operation cleanup {maker}' takes back what is left"
        ),
    )
}

fn member<'a>(cx: &'a StepContext<'_>, id: &ServerId) -> Result<&'a Member, StepError> {
    cx.plan()
        .member_of_server(id.as_str())
        .ok_or_else(|| not_in_plan("server", id.as_str()))
}

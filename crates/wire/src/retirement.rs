//! Retiring a site, on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::Timestamp;

/// Body of `POST /v1/admin/sites/{site}/retire`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRetirement {
    /// What is asked for.
    pub retire: RetireOptions,
}

/// Options of a retirement.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetireOptions {
    /// Change nothing, and tell what it would mean and what is in the way.
    #[serde(default)]
    pub dry_run: bool,
    /// Groups that ran on the site and cannot be brought up here, by id, or by a name that no other of its groups has: they
    /// are forgotten here. Nothing is deleted on either cloud.
    #[serde(default)]
    pub give_up: Vec<String>,
}

/// Answer of a retirement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetirementAnswer {
    /// What came of it, or would.
    pub retirement: RetirementView,
}

/// What the retirement of a site means.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetirementView {
    /// The site's name.
    pub site: String,
    /// Since when it is retired; null after a dry run.
    #[schema(value_type = Option<String>)]
    pub retired_at: Option<Timestamp>,
    /// How its protector was asked whether it is there, and what came of it.
    pub asked: String,
    /// What keeps it from being retired at all, whatever its groups are; null if nothing does.
    pub in_the_way: Option<String>,
    /// The groups that lose their other site.
    pub protection_groups: Vec<RetiredGroupView>,
}

/// What a group loses with its other site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RetiredGroupView {
    /// Its id.
    pub protection_group_id: String,
    /// Its name.
    pub name: String,
    /// The tenant's project on this site.
    pub project_id: String,
    /// Its status until now.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The site where it runs.
    pub runs_on: String,
    /// How many things that this site's operations left on the retired one will never be cleaned up.
    pub leftovers_there: usize,
    /// Operations of the retired site that are not known to have ended: what they did since is not known here.
    pub unfinished_there: Vec<String>,
    /// Test failovers whose copies go with the site: they end as failed.
    pub tests_there: Vec<String>,
    /// When both sites were last known to hold the same; what was changed there since is lost. Null if that is not known.
    #[schema(value_type = Option<String>)]
    pub last_in_touch_at: Option<Timestamp>,
    /// What has to be done first, with the command; null if nothing has.
    pub in_the_way: Option<String>,
    /// Whether it is given up: it is forgotten on this site, and its VMs and volumes stay as they are on both clouds.
    pub given_up: bool,
}

impl RetirementView {
    /// What was found of `site`.
    pub fn found(
        site: &str,
        asked: String,
        in_the_way: Option<String>,
        protection_groups: Vec<RetiredGroupView>,
    ) -> Self {
        Self {
            site: site.to_owned(),
            retired_at: None,
            asked,
            in_the_way,
            protection_groups,
        }
    }

    /// The same, done.
    pub fn done(self, at: DateTime<Utc>) -> Self {
        Self {
            retired_at: Some(at.into()),
            ..self
        }
    }
}

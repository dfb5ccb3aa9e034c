//! The schema's history. A migration that was released is never edited: a new one follows it.

use sea_orm_migration::{MigrationTrait, MigratorTrait};

mod column;
mod m0001_first;
mod m0002_reservation;
mod m0003_metadata_sync;
mod m0004_group_priority;
mod m0005_recovery_plan;
mod m0006_lines_by_resource;
mod m0007_lines_by_state;
mod m0008_write_probe;
mod m0009_lines_by_phase;
mod m0010_one_group_per_server;
mod m0011_retired_sites;
mod m0012_operation_lists;
mod m0014_lanes;
mod m0020_sealed_texts;
mod m0030_signing_keys;
mod m0040_quota_turns;
mod m0041_adopted_operations;
mod m0042_more_mappings;
mod m0044_group_fidelity;
mod m0047_earlier_members;
mod m0049_qos_policy_mapping;
mod m0050_verb_of_the_switch;
mod m0051_planned_or_unplanned;

/// All migrations, oldest first.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::Migration),
            Box::new(m0002_reservation::Migration),
            Box::new(m0003_metadata_sync::Migration),
            Box::new(m0004_group_priority::Migration),
            Box::new(m0005_recovery_plan::Migration),
            Box::new(m0006_lines_by_resource::Migration),
            Box::new(m0007_lines_by_state::Migration),
            Box::new(m0008_write_probe::Migration),
            Box::new(m0009_lines_by_phase::Migration),
            Box::new(m0010_one_group_per_server::Migration),
            Box::new(m0011_retired_sites::Migration),
            Box::new(m0012_operation_lists::Migration),
            Box::new(m0014_lanes::Migration),
            Box::new(m0020_sealed_texts::Migration),
            Box::new(m0030_signing_keys::Migration),
            Box::new(m0040_quota_turns::Migration),
            Box::new(m0041_adopted_operations::Migration),
            Box::new(m0042_more_mappings::Migration),
            Box::new(m0044_group_fidelity::Migration),
            Box::new(m0047_earlier_members::Migration),
            Box::new(m0049_qos_policy_mapping::Migration),
            Box::new(m0050_verb_of_the_switch::Migration),
            Box::new(m0051_planned_or_unplanned::Migration),
        ]
    }
}

//! The first schema.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

use super::column::{
    belongs_to, big, counter, id, id_or_null, index, json, name, name_or_null, primary_key, small,
    table, text, text_or_null, time, time_or_null, unique,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in tables(backend) {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    /// There is nothing before the first schema to go back to.
    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "the first schema cannot be taken back: drop the database instead".to_owned(),
        ))
    }
}

fn tables(backend: DatabaseBackend) -> Vec<TableCreateStatement> {
    vec![
        sites(backend),
        tenant_mappings(backend),
        protection_groups(backend),
        members(backend),
        replication_policies(backend),
        operations(backend),
        steps(backend),
        resource_map(backend),
        operation_locks(backend),
        engines(backend),
    ]
}

fn sites(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "sites",
        vec![
            id("id").primary_key().take(),
            name("name"),
            text_or_null("description"),
            text("auth_url"),
            name_or_null("region_name"),
            name("interface"),
            name("username"),
            text("password"),
            name("user_domain_name"),
            name("project_name"),
            name("project_domain_name"),
            text_or_null("cacert"),
            name("status"),
            time(backend, "created_at"),
            time(backend, "updated_at"),
        ],
    )
}

fn tenant_mappings(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "tenant_mappings",
        vec![
            id("id").primary_key().take(),
            name("primary_site"),
            id("primary_project_id"),
            name("secondary_site"),
            id("secondary_project_id"),
            time(backend, "created_at"),
        ],
    )
}

fn protection_groups(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "protection_groups",
        vec![
            id("id").primary_key().take(),
            id("local_project_id"),
            name("name"),
            text_or_null("description"),
            name("primary_site"),
            id("primary_project_id"),
            name("secondary_site"),
            id("secondary_project_id"),
            name("current_primary_site"),
            name("status"),
            name("replication_type"),
            name("volume_type_id"),
            name_or_null("secondary_volume_type_id"),
            json("network_mapping"),
            json("flavor_mapping"),
            big("version"),
            time_or_null(backend, "last_replication_at"),
            time(backend, "created_at"),
            time(backend, "updated_at"),
            counter("pushed_version"),
            ColumnDef::new("peer_version").big_integer().take(),
            small("push_failed_tries").default(0).take(),
            text_or_null("push_error"),
            time_or_null(backend, "last_push_at"),
            time_or_null(backend, "next_push_at"),
        ],
    )
}

fn members(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "members",
        vec![
            id("id").primary_key().take(),
            id("group_id"),
            name("name"),
            id("server_id"),
            name("status"),
            json("server"),
            json("volumes"),
            time(backend, "created_at"),
            time(backend, "updated_at"),
        ],
    )
    .foreign_key(&mut belongs_to("members", "group_id", "protection_groups"))
    .take()
}

fn replication_policies(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "replication_policies",
        vec![
            id("group_id").primary_key().take(),
            text("primary_fa_url"),
            text("secondary_fa_url"),
            text_or_null("primary_fa_api_token"),
            text_or_null("secondary_fa_api_token"),
            small("rpo_minutes"),
            time(backend, "created_at"),
            time(backend, "updated_at"),
        ],
    )
    .foreign_key(&mut belongs_to(
        "replication_policies",
        "group_id",
        "protection_groups",
    ))
    .take()
}

// An operation outlives its group, so that its record can still be read: no foreign key.
fn operations(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "operations",
        vec![
            id("id").primary_key().take(),
            name("kind"),
            id("group_id"),
            id("project_id"),
            id("user_id"),
            name("source_site"),
            name("target_site"),
            id_or_null("parent_id"),
            json("plan"),
            ColumnDef::new("state").string_len(16).not_null().take(),
            small("book_version"),
            name("request_id"),
            name_or_null("global_request_id"),
            id_or_null("lease_owner"),
            time_or_null(backend, "lease_until"),
            counter("fence"),
            counter("beat"),
            text_or_null("error"),
            name_or_null("error_code"),
            time(backend, "created_at"),
            time_or_null(backend, "started_at"),
            time_or_null(backend, "finished_at"),
        ],
    )
}

fn steps(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "steps",
        vec![
            id("operation_id"),
            small("position"),
            small("phase"),
            name("phase_name"),
            name("verb"),
            name("reported"),
            // A phase's name, or `undo:` and one, and a resource's name of up to 255 characters.
            ColumnDef::new("step_key").string_len(400).not_null().take(),
            json("action"),
            name_or_null("resource_id"),
            json("waits_for"),
            name("state"),
            small("failed_tries"),
            time_or_null(backend, "wake_at"),
            text_or_null("note"),
            json("memo"),
            text_or_null("error"),
            name_or_null("error_code"),
            time_or_null(backend, "started_at"),
            time_or_null(backend, "finished_at"),
            time_or_null(backend, "undo_started_at"),
        ],
    )
    .primary_key(&mut primary_key(&["operation_id", "position"]))
    .foreign_key(&mut belongs_to("steps", "operation_id", "operations"))
    .take()
}

fn resource_map(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "resource_map",
        vec![
            id("operation_id"),
            id("kind"),
            name("source_id"),
            text("target_id"),
        ],
    )
    .primary_key(&mut primary_key(&["operation_id", "kind", "source_id"]))
    .foreign_key(&mut belongs_to(
        "resource_map",
        "operation_id",
        "operations",
    ))
    .take()
}

fn operation_locks(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "operation_locks",
        vec![id("kind"), id("resource_id"), id("operation_id")],
    )
    .primary_key(&mut primary_key(&["kind", "resource_id"]))
    .foreign_key(&mut belongs_to(
        "operation_locks",
        "operation_id",
        "operations",
    ))
    .take()
}

fn engines(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "engines",
        vec![
            id("id").primary_key().take(),
            name("host"),
            name("version"),
            small("book_version"),
            time(backend, "started_at"),
            time(backend, "seen_at"),
            ColumnDef::new("stopping").boolean().not_null().take(),
        ],
    )
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        unique("uq_sites_name", "sites", &["name"]),
        unique(
            "uq_tenant_mappings_sides",
            "tenant_mappings",
            &["primary_site", "primary_project_id", "secondary_site"],
        ),
        unique(
            "uq_protection_groups_name",
            "protection_groups",
            &["local_project_id", "name"],
        ),
        unique("uq_members_server", "members", &["group_id", "server_id"]),
        index(
            "ix_operations_claim",
            "operations",
            &["state", "lease_until"],
        ),
        index(
            "ix_operations_group",
            "operations",
            &["group_id", "created_at"],
        ),
        index(
            "ix_operations_project",
            "operations",
            &["project_id", "created_at"],
        ),
        index("ix_operations_parent", "operations", &["parent_id"]),
        unique("uq_steps_key", "steps", &["operation_id", "step_key"]),
        index(
            "ix_operation_locks_owner",
            "operation_locks",
            &["operation_id"],
        ),
    ]
}

//! A server is a member of one group only.

use sea_orm_migration::prelude::*;

use super::column::unique;

pub(super) struct Migration;

const ONE_GROUP: &str = "uq_members_one_group";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0010_one_group_per_server"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        refuse_servers_in_two_groups(manager).await?;
        let one_group = unique(ONE_GROUP, "members", &["server_id"]);
        manager.create_index(one_group).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Index::drop().name(ONE_GROUP).table("members").to_owned();
        manager.drop_index(drop).await
    }
}

/// Which of two groups is to keep a server is for a person to say: nothing is changed, and they are named.
async fn refuse_servers_in_two_groups(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let twice = Query::select()
        .column("server_id")
        .from("members")
        .group_by_col("server_id")
        .and_having(Expr::col("id").count().gt(1_i64))
        .to_owned();
    let query = Query::select()
        .column(("members", "server_id"))
        .column(("protection_groups", "name"))
        .from("members")
        .inner_join(
            "protection_groups",
            Expr::col(("members", "group_id")).equals(("protection_groups", "id")),
        )
        .and_where(Expr::col(("members", "server_id")).in_subquery(twice))
        .to_owned();
    let rows = manager.get_connection().query_all(&query).await?;
    let named = rows
        .iter()
        .map(|row| {
            let server: String = row.try_get_by("server_id")?;
            let group: String = row.try_get_by("name")?;
            Ok(format!("server {server} in protection group {group}"))
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    if named.is_empty() {
        return Ok(());
    }
    Err(DbErr::Custom(format!(
        "a server may be in one protection group only, and these are in several: {}; take each out of all groups but one with 'openstack dr member remove', with the release before this one, then run 'protector-manage db sync' again",
        named.join(", ")
    )))
}

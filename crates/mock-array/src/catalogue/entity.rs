//! The catalogue's tables.

pub(crate) mod recovery_point {
    //! A recovery point of a group.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "recovery_points")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        #[sea_orm(unique_key = "asked_once")]
        pub group_id: String,
        /// The source array's name.
        #[sea_orm(unique_key = "asked_once")]
        pub source: String,
        /// The target array's name.
        #[sea_orm(unique_key = "asked_once")]
        pub target: String,
        #[sea_orm(unique_key = "asked_once")]
        pub operation_id: String,
        /// Microseconds since 1970.
        pub taken_at: i64,
        pub state: State,
    }

    /// Where the files of a point are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
    #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
    pub enum State {
        /// Some of them may be there.
        #[sea_orm(string_value = "copying")]
        Copying,
        /// All of them are on disk.
        #[sea_orm(string_value = "complete")]
        Complete,
        /// Some of them may be gone.
        #[sea_orm(string_value = "removing")]
        Removing,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod recovery_point_volume {
    //! One volume of a recovery point.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "recovery_point_volumes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub point_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub volume_id: String,
        /// Where the replica lies, in the target array's directory.
        pub path: String,
        /// In bytes.
        pub size: i64,
        /// See `Contents::sha256`.
        pub sha256: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod promotion {
    //! What an operation promoted, or is about to.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "promotions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub operation_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub volume_id: String,
        /// The target array's name.
        #[sea_orm(primary_key, auto_increment = false)]
        pub target: String,
        pub point_id: String,
        pub source_name: String,
        /// The file name of the copy in the staging directory, from before it is made.
        pub staged: String,
        /// The object's serial, once its bytes are complete, on disk and verified.
        pub serial: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

//! A move that is given up while an array, an import or a mapped network is lost: its servers run again where they ran, at
//! the latest with the cleanup that is possible once the array is back, or another network is mapped.

use protector_core::{
    group::GroupStatus,
    operation::{GivenUp, OperationRecord, OperationState, StepState},
    plan::Plan,
};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::{aborted::with_a_pause, fixture::Fixture};

/// What is lost, and with it whatever was to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Both arrays: neither answers.
    Arrays,
    /// What was imported so far, by somebody's hand.
    Imports,
    /// The network of the target that the source's is mapped to.
    MappedNetwork,
}

impl Lost {
    const ALL: [Self; 3] = [Self::Arrays, Self::Imports, Self::MappedNetwork];

    fn happens(self, fixture: &Fixture) {
        match self {
            Self::Arrays => fixture.lose_the_arrays(),
            Self::Imports => fixture.delete_what_is_imported(),
            Self::MappedNetwork => fixture.lose_the_mapped_network(),
        }
    }
}

impl Fixture {
    fn delete_what_is_imported(&self) {
        let volumes = lock(&self.target).volumes();
        for import in volumes.iter().filter(|one| one.status == "available") {
            let url = format!("volume /volumes/{}", import.id);
            self.on_target("demo", "DELETE", &url, &Value::Null);
        }
    }

    fn lose_the_mapped_network(&self) {
        let network = lock(&self.target).network_id("demo-net").unwrap();
        self.target_answers(&format!("*/networks/{network}"), 404, json!({}));
        self.no_copy_can_be_built();
    }

    /// `parent` as a cleanup of it is planned once its group's network is mapped to another one.
    fn with_another_network_mapped(&self, parent: &OperationRecord) -> OperationRecord {
        let network = |cloud, name| lock(cloud).network_id(name).unwrap();
        let mut mapped_now = parent.operation.plan.mappings.clone();
        mapped_now.networks.insert(
            network(&self.source, "demo-net"),
            network(&self.target, "public"),
        );
        let mut parent = parent.clone();
        parent.operation.plan = parent.operation.plan.known_by(mapped_now);
        parent
    }

    /// One whose failover somebody gives up as soon as `when` is true of its record, and something is lost just before.
    async fn given_up_without(
        lost: Lost,
        change_plan: impl FnOnce(&mut Plan),
        when: impl Fn(&OperationRecord) -> bool,
    ) -> (Self, OperationRecord) {
        let mut given_up = false;
        let (fixture, record) = Self::moved_as(
            change_plan,
            |_| {},
            |fixture, record| {
                if given_up || !when(record) {
                    return;
                }
                lost.happens(fixture);
                let id = &record.operation.id;
                let asked = fixture.journal.abort(id, "user-1", GivenUp::Unwanted);
                assert_eq!(asked, Ok(()));
                given_up = true;
            },
        )
        .await;
        assert!(given_up, "{lost:?}");
        (fixture, record)
    }
}

fn has_begun(record: &OperationRecord, phase: &str) -> bool {
    let mut steps = record.steps.iter();
    steps.any(|step| step.phase_name == phase && step.progress.state != StepState::Pending)
}

/// The servers run where they ran; what is left is cleaned up once what was lost is back, and the group is as before.
async fn assert_it_runs_and_is_cleaned_up(
    mut fixture: Fixture,
    record: &OperationRecord,
    lost: Lost,
) {
    assert_eq!(record.operation.state, OperationState::Failed, "{lost:?}");
    if fixture.group().status != GroupStatus::Active {
        assert_eq!(fixture.group().status, GroupStatus::Error, "{lost:?}");
        fixture.regain_the_arrays();
        let parent = fixture.with_another_network_mapped(record);
        let ended = fixture.cleanup_after(&parent, |_| true).await;
        assert_eq!(ended.failed(), vec![], "{lost:?}");
    }
    let server = fixture.server_facts(&fixture.server).unwrap();
    assert_eq!(server.status, "ACTIVE", "{lost:?}");
    assert_eq!(fixture.group().status, GroupStatus::Active, "{lost:?}");
    assert!(lock(&fixture.target).servers().is_empty(), "{lost:?}");
    assert!(lock(&fixture.target).volumes().is_empty(), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_move_is_given_up_and_cleaned_up_whatever_it_has_lost() {
    for lost in Lost::ALL {
        for phase in [
            "stop_source_vms",
            "final_replication",
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
        ] {
            let (fixture, record) =
                Fixture::given_up_without(lost, |_| {}, |record| has_begun(record, phase)).await;
            assert_it_runs_and_is_cleaned_up(fixture, &record, lost).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_move_is_given_up_whatever_it_has_lost() {
    for lost in Lost::ALL {
        let (fixture, record) =
            Fixture::given_up_without(lost, with_a_pause, |record| has_begun(record, "pause"))
                .await;
        assert_it_runs_and_is_cleaned_up(fixture, &record, lost).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_move_is_given_up_whatever_it_has_lost() {
    for lost in Lost::ALL {
        let queued = |record: &OperationRecord| record.operation.state == OperationState::Queued;
        let (fixture, record) = Fixture::given_up_without(lost, |_| {}, queued).await;
        assert_it_runs_and_is_cleaned_up(fixture, &record, lost).await;
    }
}

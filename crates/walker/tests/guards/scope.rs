//! A 404 is believed only of a cloud that proved to be the right one.

use protector_simcloud::{
    cloud::{Match, SimulatedService},
    in_process::lock,
};
use serde_json::{Value, json};

use super::fixture::{BOOT, DATA, Fixture, SERVER};

fn not_found() -> Value {
    json!({"itemNotFound": {"code": 404, "message": "It could not be found."}})
}

fn reads_of(path: &str) -> Match {
    Match {
        method: Some("GET".to_owned()),
        path: Some(path.to_owned()),
        ..Match::default()
    }
}

#[tokio::test(start_paused = true)]
async fn region_is_another() {
    let mut fixture = Fixture::switched().await;
    fixture.refuse("servers", reads_of("*/servers/*"), 404, not_found());
    fixture.refuse("volumes", reads_of("*/volumes/*"), 404, not_found());
    fixture.refuse("networks", reads_of("*/networks/*"), 404, not_found());
    let ended = fixture.delete().await;
    for key in [SERVER, BOOT, DATA] {
        let why = ended.failure(key);
        assert!(
            why.starts_with("kept: its cloud says 404, but also to network ")
                && why.contains("the catalogue may lead to another region"),
            "{why}"
        );
    }
    assert!(fixture.has_server() && fixture.has_volume(&fixture.boot));

    lock(&fixture.source).clear_faults();
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn service_does_not_answer() {
    let mut fixture = Fixture::switched().await;
    for (name, path) in [("volumes", "*/volumes/*"), ("quotas", "*/os-quota-sets/*")] {
        let of_cinder = Match {
            service: Some(SimulatedService::Volume),
            ..reads_of(path)
        };
        fixture.refuse(name, of_cinder, 404, not_found());
    }
    let ended = fixture.delete().await;
    let why = ended.failure(DATA);
    assert!(
        why.contains("also to a question about the project's own quota"),
        "{why}"
    );
    assert!(fixture.has_volume(&fixture.data));

    lock(&fixture.source).clear_faults();
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn gone_before_is_a_note_and_success_by_hand() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    let url = format!("volumev3 /volumes/{}", fixture.data);
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    let ended = fixture.delete().await;
    assert_eq!(ended.only_failure(DATA), "Volume not found (404)");
    fixture.cleanup_leaves_nothing().await;
}

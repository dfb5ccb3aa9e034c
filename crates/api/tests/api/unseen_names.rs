//! Names and texts that look like others, because something in them is not seen or turns them round.

use http::Method;
use protector_core::clock::Clock as _;
use protector_store::GroupChange;
use serde_json::json;

use crate::{
    fakes::{FixedClock, PROJECT_A, WEB},
    house::{House, group_body, group_path, groups_path, site_body},
    metadata::changed,
};

/// `web` to whoever reads it, and another name.
const TURNED: &str = "w\u{202E}be";
const UNSEEN: &str = "we\u{200B}b";

#[tokio::test]
async fn a_tenants_texts_are_refused_with_field_and_character() {
    let house = House::with_member(WEB).await;
    let before = house.everything().await;
    let mut named = group_body("web");
    named["protection_group"]["name"] = json!(TURNED);
    let mut described = group_body("other");
    described["protection_group"]["description"] = json!("first\nsecond\u{2066}");
    let mut site = site_body("site-c");
    site["site"]["name"] = json!("site\u{E0062}");
    let group = group_path("web", "");
    for (method, path, token, body, field, character) in [
        (
            Method::POST,
            groups_path(),
            "member",
            named,
            "protection_group.name",
            "U+202E",
        ),
        (
            Method::POST,
            groups_path(),
            "member",
            described,
            "protection_group.description",
            "U+2066",
        ),
        (
            Method::POST,
            "/v1/admin/sites".to_owned(),
            "admin",
            site,
            "site.name",
            "U+E0062",
        ),
        (
            Method::PUT,
            group.clone(),
            "member",
            json!({"protection_group": {"name": UNSEEN}}),
            "protection_group.name",
            "U+200B",
        ),
        (
            Method::PUT,
            group_path("web", "/recovery-plan"),
            "member",
            json!({"recovery_plan": {"pauses": [{"before_priority": 2, "message": "do \u{202E}ti"}]}}),
            "recovery_plan.pauses[0].message",
            "U+202E",
        ),
    ] {
        let answer = house.send(method, &path, token, body).await.expect(400);
        let said = answer.message();
        assert!(said.starts_with(&format!("{field}: ")), "{said}");
        assert!(said.contains(character) && said.is_ascii(), "{said}");
    }
    assert_eq!(house.everything().await, before);
    let mut persian = group_body("web");
    persian["protection_group"]["name"] = json!("\u{646}\u{645}\u{6CC}\u{200C}\u{62E}");
    house
        .send(Method::POST, &groups_path(), "member", persian)
        .await
        .expect(201);
}

#[tokio::test]
async fn the_other_site_gives_no_group_such_a_name_and_a_group_that_has_it_is_kept_up() {
    let house = House::with_member(WEB).await;
    let renamed = |name: &'static str| {
        changed(&house, 9, move |document| {
            document["group"]["name"] = json!(name)
        })
    };
    let (id, body) = renamed(UNSEEN).await;
    let path = format!("/v1/{PROJECT_A}/protection-groups/{id}/metadata");
    let refused = house
        .send(Method::PUT, &path, "service", body)
        .await
        .expect(400);
    let said = refused.message();
    assert!(said.starts_with("metadata.document.group.name: "), "{said}");
    assert!(said.contains("U+200B"), "{said}");

    let change = GroupChange {
        description: Some(Some(TURNED.to_owned())),
        ..GroupChange::default()
    };
    let group = id.as_str().into();
    let given = house
        .database
        .group_update(&group, &change, FixedClock.now());
    given.await.unwrap();
    let (_, body) = changed(&house, 10, |document| {
        document["group"]["priority"] = json!(5);
    })
    .await;
    house
        .send(Method::PUT, &path, "service", body)
        .await
        .expect(200);
}

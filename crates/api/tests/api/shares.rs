//! What one project may have and ask, so that others get theirs.

use std::{num::NonZeroU32, time::Duration};

use http::Method;
use protector_api::http::rate_limit::RateLimits;
use protector_store::Quotas;
use serde_json::json;

use crate::{
    fakes::WEB,
    house::{House, failover_body, group_body, group_path, groups_path},
};

#[tokio::test]
async fn a_quota_is_refused_in_the_words_of_nova_and_says_what_leads_on() {
    let house = House::with_member(WEB).await.with_quotas(Quotas {
        protection_groups: Some(1),
        members_per_group: Some(1),
        open_operations: Some(0),
    });
    let act = group_path("web", "/action");
    let refused = house.send(Method::POST, &act, "member", failover_body());
    let refused = refused.await.expect(403);
    let text = refused.message();
    assert!(
        text.starts_with("Quota exceeded for open_operations: "),
        "{text}"
    );
    let before = house.everything().await;
    let operations = before.as_array().and_then(|all| all.last());
    assert_eq!(operations.unwrap()["operations"], json!([]));
    let body = group_body("another");
    let groups = groups_path();
    let refused = house.send(Method::POST, &groups, "member", body);
    let refused = refused.await.expect(403);
    assert_eq!(refused.key(), "forbidden");
    assert_eq!(
        refused.message(),
        "Quota exceeded for protection_groups: Requested 1, but already used 1 of 1 protection_groups. Delete one that is not needed with 'openstack dr protection-group delete', or ask an operator of this site for more ('[quota] protection_groups')."
    );
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_project_that_asks_too_fast_is_told_when_to_come_again() {
    let house = House::with_member(WEB).await.with_limits(RateLimits {
        rate: RateLimits::rate(Duration::from_secs(3600), NonZeroU32::new(2).unwrap()),
        reads: None,
    });
    for _ in 0..2 {
        house.get(&groups_path(), "member").await.expect(200);
    }
    let refused = house.get(&groups_path(), "member").await.expect(429);
    assert_eq!(refused.key(), "overLimit");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    let other = groups_path().replace(crate::fakes::PROJECT_A, crate::fakes::OTHER_PROJECT);
    house.get(&other, "other").await.expect(200);
    let act = group_path("web", "/action");
    house
        .send(Method::POST, &act, "member", failover_body())
        .await
        .expect(202);
}

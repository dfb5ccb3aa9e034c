//! Lists: limits, markers, orders, filters and links, the same everywhere.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::{
    engine::{done, settle_as, start},
    fakes::{DB, OTHER_PROJECT, OTHER_PROJECT_B, PROJECT_A, WEB},
    house::{House, group_body, group_path, groups_path, site_body},
};

struct List {
    path: String,
    noun: &'static str,
    count: usize,
    default_sort: Option<(&'static str, &'static str)>,
    sort_keys: &'static [&'static str],
}

/// A house whose lists all have at least two entries.
async fn full() -> House {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    for name in ["app", "shop"] {
        let made = house
            .send(Method::POST, &groups_path(), "member", group_body(name))
            .await;
        made.expect(201);
    }
    let made = house
        .send(
            Method::POST,
            "/v1/admin/sites",
            "admin",
            site_body("site-c"),
        )
        .await;
    made.expect(201);
    let mapping = json!({"tenant_mapping": {
        "primary_site": "site-a", "primary_project_id": OTHER_PROJECT,
        "secondary_site": "site-b", "secondary_project_id": OTHER_PROJECT_B,
    }});
    let made = house
        .send(Method::POST, "/v1/admin/tenant-mappings", "admin", mapping)
        .await;
    made.expect(201);
    for _ in 0..2 {
        start(&house).await;
        settle_as(
            &house,
            protector_core::operation::OperationState::Failed,
            |_| done(),
        )
        .await;
    }
    house
}

fn lists() -> Vec<List> {
    let list = |path: &str, noun, count, default_sort, sort_keys| List {
        path: path.to_owned(),
        noun,
        count,
        default_sort,
        sort_keys,
    };
    let by_name = Some(("name", "asc"));
    let groups: &[&str] = &["name", "status", "created_at", "updated_at"];
    let members: &[&str] = &["name", "status", "created_at", "updated_at"];
    vec![
        list("/v1/admin/sites", "sites", 3, by_name, &["name", "status"]),
        list("/v1/admin/tenant-mappings", "tenant_mappings", 2, None, &[]),
        list(
            "/v1/admin/sites/site-a/volume-types",
            "volume_types",
            2,
            by_name,
            &[],
        ),
        list(&groups_path(), "protection_groups", 3, by_name, groups),
        list(
            &group_path("web", "/members"),
            "members",
            2,
            by_name,
            members,
        ),
        list(
            &format!("/v1/{PROJECT_A}/operations"),
            "operations",
            2,
            Some(("created_at", "desc")),
            &["created_at", "operation_type"],
        ),
    ]
}

fn ids(body: &Value, noun: &str) -> Vec<String> {
    let entries = body[noun].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

fn token(list: &List) -> &'static str {
    if list.path.contains("/admin/") {
        "admin"
    } else {
        "reader"
    }
}

async fn get(house: &House, list: &List, query: &str) -> Value {
    let path = format!("{}?{query}", list.path);
    house.get(&path, token(list)).await.expect(200).body
}

/// Follows the links from page to page.
async fn walked(house: &House, list: &List, query: &str) -> Vec<String> {
    let mut path = format!("{}?{query}", list.path);
    let mut seen = Vec::new();
    loop {
        let page = house.get(&path, token(list)).await.expect(200).body;
        let ids = ids(&page, list.noun);
        assert_eq!(ids.len(), 1, "{path}");
        seen.extend(ids);
        let links = &page[format!("{}_links", list.noun)];
        if links.is_null() {
            return seen;
        }
        assert_eq!(links[0]["rel"], "next");
        path = links[0]["href"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn pages_one_after_the_other_are_the_whole_list_in_any_order() {
    let house = full().await;
    for list in lists() {
        let whole = ids(&get(&house, &list, "").await, list.noun);
        assert_eq!(whole.len(), list.count, "{}", list.path);
        let mut orders = vec![
            String::new(),
            "sort_dir=asc".to_owned(),
            "sort_dir=desc".to_owned(),
        ];
        for key in list.sort_keys {
            orders.push(format!("sort_key={key}&sort_dir=asc"));
            orders.push(format!("sort_dir=desc&sort_key={key}"));
        }
        for order in orders {
            let once = ids(&get(&house, &list, &order).await, list.noun);
            let walked = walked(&house, &list, &format!("limit=1&{order}")).await;
            assert_eq!(walked, once, "{} {order}", list.path);
            assert_eq!(sorted(once), sorted(whole.clone()), "{} {order}", list.path);
        }
        let asc = ids(&get(&house, &list, "sort_dir=asc").await, list.noun);
        let mut desc = ids(&get(&house, &list, "sort_dir=desc").await, list.noun);
        desc.reverse();
        assert_eq!(asc, desc, "{}", list.path);
        if let Some((key, dir)) = list.default_sort {
            let order = if list.sort_keys.is_empty() {
                format!("sort_dir={dir}")
            } else {
                format!("sort_key={key}&sort_dir={dir}")
            };
            let named = ids(&get(&house, &list, &order).await, list.noun);
            assert_eq!(named, whole, "{}", list.path);
        }
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn a_page_that_holds_all_has_no_link() {
    let house = full().await;
    for list in lists() {
        let limit = format!("limit={}", list.count);
        let page = get(&house, &list, &limit).await;
        assert!(page.get(format!("{}_links", list.noun)).is_none(), "{page}");
    }
}

#[tokio::test]
async fn what_a_list_does_not_know_is_refused_by_name() {
    let house = full().await;
    for list in lists() {
        for (query, says) in [
            ("limit=0", "limit: must be at least 1"),
            ("limit=x", "limit: must be a whole number"),
            ("limit=-1", "limit: must be a whole number"),
            (
                "marker=nothing",
                "marker: no entry of this list has the id nothing",
            ),
            ("sort_dir=up", "sort_dir: must be one of 'asc' or 'desc'"),
            ("sort_key=colour", "sort_key"),
            ("colour=red", "unknown parameter `colour`"),
        ] {
            let path = format!("{}?{query}", list.path);
            let refused = house.get(&path, token(&list)).await.expect(400);
            assert!(
                refused.message().contains(says),
                "{path}: {}",
                refused.message()
            );
        }
    }
}

#[tokio::test]
async fn filters_leave_out_what_does_not_fit() {
    let house = full().await;
    let groups = groups_path();
    let members = group_path("web", "/members");
    let cases = [
        ("/v1/admin/sites?name=site-b", "sites", 1),
        ("/v1/admin/sites?name=nothing", "sites", 0),
        ("/v1/admin/sites?status=active", "sites", 3),
        ("/v1/admin/sites?status=disabled", "sites", 0),
        (
            &format!("/v1/admin/tenant-mappings?project_id={OTHER_PROJECT_B}"),
            "tenant_mappings",
            1,
        ),
        (
            "/v1/admin/tenant-mappings?project_id=nothing",
            "tenant_mappings",
            0,
        ),
        (
            "/v1/admin/sites/site-a/volume-types?eligible=true",
            "volume_types",
            1,
        ),
        (
            "/v1/admin/sites/site-a/volume-types?eligible=false",
            "volume_types",
            1,
        ),
        (
            "/v1/admin/sites/site-a/volume-types?name=plain",
            "volume_types",
            1,
        ),
        (&format!("{groups}?name=web"), "protection_groups", 1),
        (&format!("{groups}?status=error"), "protection_groups", 0),
        (&format!("{members}?name=db-server"), "members", 1),
        (&format!("{members}?status=protected"), "members", 2),
        (&format!("{members}?status=error"), "members", 0),
    ];
    let mut found = BTreeMap::new();
    let mut expected = BTreeMap::new();
    for (path, noun, count) in cases {
        let token = if path.contains("/admin/") {
            "admin"
        } else {
            "reader"
        };
        let body = house.get(path, token).await.expect(200).body;
        found.insert(path.to_owned(), body[noun].as_array().unwrap().len());
        expected.insert(path.to_owned(), count);
    }
    assert_eq!(found, expected);
}

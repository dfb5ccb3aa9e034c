//! What clouds send, broken: it is read or refused, soon, and what is said of it is one clean line.

use protector_fuzz::feed;
use serde_json::{Value, json};

use crate::{
    ask::Ask,
    bounds::{most_values, weigh},
    catalog::{Catalog, EndpointInterface},
    compute::Server,
    error_body::message_of,
    listing::ListPage,
    service::Service,
};

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn assert_clean(text: &str, longest: usize) {
    let count = text.chars().count();
    assert!(count <= longest, "{count} characters");
    let unclean = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
    };
    assert!(!text.contains(unclean), "{text:?}");
}

#[test]
fn fuzz_error_bodies() {
    let seeds: [&[u8]; 6] = [
        br#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#,
        br#"{"NeutronError": {"type": "PortNotFound", "message": "Port p1 could not be found.", "detail": ""}}"#,
        br#"{"errors": [{"status": 404, "title": "Not Found", "detail": "no such thing"}]}"#,
        br#"{"computeFault": {"message": "x\nTraceback (most recent call last):\n File \"server.py\""}}"#,
        b"<html><head><title>503</title><style>h1 {}</style><script>a()</script></head><body><h1>busy</h1>&lt;&nbsp;</body></html>",
        b"upstream connect error",
    ];
    feed("error bodies", &seeds, |body| {
        assert_clean(&message_of(body), 601)
    });
}

#[test]
fn fuzz_catalogues() {
    let endpoint = |interface: &str| json!({"id": "e", "interface": interface, "region": "north", "region_id": "north", "url": "http://nova.test/v2.1/%(project_id)s"});
    let catalogue = json!([
        {"type": "compute", "name": "nova", "endpoints": [endpoint("public"), endpoint("internal")]},
        {"type": "volumev3", "endpoints": [endpoint("public")]},
        {"type": "protector", "endpoints": []},
    ]);
    feed("catalogues", &[&bytes(&catalogue)], |body| {
        let Ok(catalogue) = serde_json::from_slice::<Catalog>(body) else {
            return;
        };
        for service in Service::ALL {
            for region in [None, Some("north")] {
                match catalogue.endpoint(service, EndpointInterface::Public, region) {
                    Ok(url) => assert!(url.len() <= 2_048),
                    Err(error) => assert_clean(&error.to_string(), 1_000),
                }
            }
        }
    });
}

#[test]
fn fuzz_pages() {
    let server = json!({
        "id": "s1", "name": "web", "status": "ACTIVE", "locked": false, "OS-EXT-STS:task_state": null,
        "OS-EXT-STS:vm_state": "active", "metadata": {"a": "b"}, "config_drive": "True", "image": {"id": "i1"},
        "addresses": {"net": [{"addr": "10.0.0.1", "version": 4}]},
        "flavor": {"original_name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20, "extra_specs": {}},
        "os-extended-volumes:volumes_attached": [{"id": "v1", "delete_on_termination": false}],
        "OS-SRV-USG:launched_at": "2026-01-01T00:00:00.000000", "tenant_id": "p1", "created": "2026-01-01T00:00:00Z",
    });
    let page = json!({"servers": [server], "servers_links": [{"rel": "next", "href": "http://nova.test/"}]});
    let call = Ask::get(Service::Compute, &["servers", "detail"]).call;
    feed("pages", &[&bytes(&page)], |body| {
        if weigh(body, most_values(Service::Compute)).is_err() {
            return;
        }
        // What was weighed is read as plain values, or refused, however it is nested.
        let _ = serde_json::from_slice::<Value>(body);
        let Ok(page) = ListPage::of(body, "servers") else {
            return;
        };
        for row in page.rows {
            if let Err(error) = crate::listing::element::<Server>(&call, row) {
                assert_clean(&error.to_string(), 900);
            }
        }
    });
}

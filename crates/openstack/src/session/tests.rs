use std::{sync::Arc, time::Duration};

use protector_core::id::{ServerId, VolumeId};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    bounds::Allowance,
    cloud::{Cloud, CloudSessions},
    compute::ServerFilter,
    exchange_observer::ExchangeOutcome,
    permit::ReadsOnly,
    scripted_cloud::{
        PASSWORD, Reply, ScriptedCloud, answer, catalog, cloud_of, credentials, lost, ok, options,
        scripted, unreachable, with_header,
    },
};

fn server() -> ServerId {
    ServerId::new("s1")
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

async fn stop(cloud: &Cloud) -> Result<(), CallError> {
    cloud.compute().stop_server(&server()).await
}

async fn ask_flavors(cloud: &Cloud) -> Result<(), CallError> {
    cloud.compute().flavors().await.map(|_| ())
}

fn no_flavors() -> Reply {
    ok(json!({"flavors": []}))
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_with_growing_pauses_until_it_succeeds() {
    let (cloud, script) = scripted([answer(503, ""), unreachable(), lost(), no_flavors()]);
    let started = Instant::now();
    ask_flavors(&cloud).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(1 + 2 + 4));
    assert_eq!(script.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_read_gives_up_after_its_tries_and_keeps_the_clouds_words() {
    let body = r#"{"computeFault": {"code": 500, "message": "Unexpected API Error. Please contact the administrator\n<class 'oslo_db.exception.DBConnectionError'>"}}"#;
    let (cloud, script) = scripted((0..9).map(|_| answer(500, body)));
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Nova said 500 to GET /flavors/detail: Unexpected API Error. Please contact the administrator \
         <class 'oslo_db.exception.DBConnectionError'>"
    );
    assert_eq!(script.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_list_ends_within_one_time_however_many_pages_it_has() {
    let flavor = |number: usize| {
        let page: Vec<Value> = (2 * number..2 * number + 2)
            .map(|id| json!({"id": id.to_string(), "name": "f", "vcpus": 1, "ram": 1, "disk": 1}))
            .collect();
        ok(json!({"flavors": page}))
    };
    let slow = (0..40).flat_map(|number| [with_header(503, "retry-after", "60"), flavor(number)]);
    let (cloud, _) = scripted(slow);
    let started = Instant::now();
    ask_flavors(&cloud).await.unwrap_err();
    assert!(
        started.elapsed() <= options().list_deadline,
        "{:?}",
        started.elapsed()
    );

    let slow = (0..40).flat_map(|number| [with_header(503, "retry-after", "60"), flavor(number)]);
    let (cloud, _) = scripted(slow);
    let started = Instant::now();
    let hasty = cloud.with_deadline(Duration::from_secs(90));
    ask_flavors(&hasty).await.unwrap_err();
    assert!(
        started.elapsed() <= Duration::from_secs(90),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_next_page_that_leads_back_is_no_end_of_the_list() {
    let page = |ids: [&str; 2]| {
        let rows = ids.map(|id| json!({"id": id, "name": "f", "vcpus": 1, "ram": 1, "disk": 1}));
        let next = [
            json!({"rel": "bookmark"}),
            json!({"rel": "next", "href": "http://elsewhere.test/"}),
            json!(7),
        ];
        ok(json!({"flavors": rows, "flavors_links": next}))
    };
    let (cloud, script) = scripted([page(["a", "b"]), page(["a", "b"])]);
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert!(
        error.to_string().contains("repeats what was read"),
        "{error}"
    );
    assert!(
        script
            .calls()
            .iter()
            .all(|call| call.url.starts_with("http://nova.test/"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_allowance_counts_over_all_calls_and_stops_reads_only() {
    let large = || {
        answer(
            200,
            format!(r#"{{"flavors": [], "filler": "{}"}}"#, "x".repeat(600_000)),
        )
    };
    let (cloud, script) = scripted([large(), large(), answer(202, "")]);
    let cloud = cloud.with_allowance(Allowance::new(1 << 20));
    ask_flavors(&cloud).await.unwrap();
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Nova answered GET /flavors/detail with more than is taken: all answers to one request together are larger \
         than 1 MiB. It was asked at http://nova.test/v2.1/flavors/detail"
    );
    assert_eq!(error.class(), ErrorClass::Final);
    assert!(
        !error.is_silence() && !error.may_be_of_a_lost_cloud(),
        "it is there"
    );
    stop(&cloud).await.unwrap();
    assert_eq!(script.calls().last().unwrap().method, Method::POST);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_change_that_is_too_large_says_nothing_of_what_was_done() {
    let (cloud, _) = scripted([answer(202, "x".repeat(17 << 20))]);
    let error = stop(&cloud).await.unwrap_err();
    assert!(error.to_string().contains("larger than 16 MiB"), "{error}");
    assert_eq!(error.class(), ErrorClass::Ambiguous);
    assert!(!error.certainly_not_done());
}

#[tokio::test(start_paused = true)]
async fn html_with_a_success_status_is_no_answer() {
    let (cloud, _) = scripted([
        answer(200, "<html><h1>Please log in</h1></html>"),
        no_flavors(),
    ]);
    ask_flavors(&cloud).await.unwrap();
    let (cloud, _) = scripted((0..4).map(|_| answer(200, "<html><h1>Please log in</h1></html>")));
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Passing);
    assert!(error.to_string().ends_with("Please log in"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_not_repeated() {
    for reply in [lost(), Reply::Hang, answer(504, ""), answer(502, "")] {
        let (cloud, script) = scripted([reply]);
        let error = stop(&cloud).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Ambiguous, "{error}");
        assert!(!error.certainly_not_done());
        assert_eq!(script.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_certainly_not_done_is_not_repeated_either() {
    for reply in [
        unreachable(),
        with_header(503, "retry-after", "30"),
        with_header(429, "retry-after", "1"),
        answer(429, ""),
    ] {
        let (cloud, script) = scripted([reply, answer(202, "")]);
        let started = Instant::now();
        let error = stop(&cloud).await.unwrap_err();
        assert!(error.certainly_not_done(), "{error}");
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_eq!(script.lines(), ["POST /v2.1/servers/s1/action"]);
    }
}

/// Lets calls that change something pass, or says why not. Notes that it was asked.
#[derive(Default)]
struct Gate {
    too_late: bool,
    asked: Mutex<Vec<(Duration, usize)>>,
    script: Option<Arc<ScriptedCloud>>,
}

impl WritePermit for Gate {
    fn pass(&self, call: &Call, longest: Duration) -> Result<(), CallError> {
        let logins = self.script.as_ref().map_or(0, |script| script.logins());
        self.asked.lock().unwrap().push((longest, logins));
        match self.too_late {
            false => Ok(()),
            true => Err(CallError::NotSent {
                call: Box::new(call.clone()),
                why: "too late".to_owned(),
            }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_asked_after_the_login_and_right_before_a_change() {
    let (cloud, script) = scripted([no_flavors(), answer(202, "")]);
    let gate = Arc::new(Gate {
        script: Some(script.clone()),
        ..Gate::default()
    });
    let cloud = cloud.with_permit(gate.clone());
    ask_flavors(&cloud).await.unwrap();
    assert!(gate.asked.lock().unwrap().is_empty(), "a read needs none");
    // The token ends: the change has to log in first.
    tokio::time::advance(Duration::from_secs(3600)).await;
    stop(&cloud).await.unwrap();
    let exchange = options().exchange_timeout;
    assert_eq!(*gate.asked.lock().unwrap(), [(exchange, 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_permit_is_not_sent() {
    let (cloud, script) = scripted([]);
    let late = cloud.with_permit(Arc::new(Gate {
        too_late: true,
        ..Gate::default()
    }));
    let error = stop(&late).await.unwrap_err();
    assert_eq!(
        (error.class(), error.certainly_not_done()),
        (ErrorClass::Passing, true)
    );
    assert_eq!(
        error.to_string(),
        "POST /servers/s1/action of Nova was not sent: too late"
    );
    let reading = cloud.with_permit(Arc::new(ReadsOnly));
    let error = stop(&reading).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Final, "{error}");
    assert!(script.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_quota_refusal_with_retry_after_0_is_final_at_once() {
    let body = r#"{"overLimit": {"code": 413, "message": "VolumeLimitExceeded: Maximum number of volumes allowed (6) exceeded for quota 'volumes'.", "retryAfter": "0"}}"#;
    let (cloud, script) = scripted([Reply::Answer(
        413,
        vec![("retry-after", "0".to_owned())],
        body.to_owned(),
    )]);
    let error = cloud
        .volume()
        .create_volume(&Default::default())
        .await
        .unwrap_err();
    assert_eq!((error.class(), error.is_quota()), (ErrorClass::Final, true));
    assert_eq!(script.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_cloud_costs_the_deadline_and_no_more() {
    let (cloud, _) = scripted((0..9).map(|_| Reply::Hang));
    let started = Instant::now();
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Passing);
    assert!(error.to_string().contains("no answer within"), "{error}");
    assert!(started.elapsed() <= options().deadline);

    let started = Instant::now();
    let (cloud, _) = scripted([Reply::Hang]);
    ask_flavors(&cloud.with_deadline(Duration::from_secs(5)))
        .await
        .unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_would_outlast_the_deadline_is_not_begun() {
    let (cloud, _) = scripted([with_header(503, "retry-after", "50")]);
    let started = Instant::now();
    let error = ask_flavors(&cloud.with_deadline(Duration::from_secs(20)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.status(), error.retry_after()),
        (Some(503), Some(Duration::from_secs(50)))
    );
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_login_serves_all_who_wait_for_it() {
    let mut script = ScriptedCloud::new((0..20).map(|_| no_flavors()));
    script.login_takes = Duration::from_secs(2);
    let (cloud, script) = cloud_of(script);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let cloud = cloud.clone();
        tasks.spawn(async move { ask_flavors(&cloud).await });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(script.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_fails_all_who_waited_for_it_and_is_tried_again_later() {
    let refused = r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#;
    let mut script = ScriptedCloud::new([no_flavors()]).login_replies([answer(401, refused)]);
    script.login_takes = Duration::from_secs(2);
    let (cloud, script) = cloud_of(script);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let cloud = cloud.clone();
        tasks.spawn(async move { ask_flavors(&cloud).await });
    }
    while let Some(result) = tasks.join_next().await {
        let error = result.unwrap().unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unauthorized);
        assert_eq!(
            error.to_string(),
            "Keystone said 401 to POST /auth/tokens: The request you have made requires authentication."
        );
    }
    assert_eq!(script.logins(), 1);
    ask_flavors(&cloud).await.unwrap();
    assert_eq!(script.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_is_repeated_like_a_read() {
    let script =
        ScriptedCloud::new([no_flavors()]).login_replies([lost(), unreachable(), answer(503, "")]);
    let (cloud, script) = cloud_of(script);
    ask_flavors(&cloud).await.unwrap();
    assert_eq!(script.logins(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_401_to_a_read_is_believed_only_with_a_fresh_token() {
    let (cloud, script) = scripted((0..20).map(|_| no_flavors()));
    ask_flavors(&cloud).await.unwrap();
    script.revoke("token-1");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let cloud = cloud.clone();
        tasks.spawn(async move { ask_flavors(&cloud).await });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(script.logins(), 2, "all share the second login");

    script.revoke("token-2");
    script.revoke("token-3");
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(
        (error.class(), script.logins()),
        (ErrorClass::Unauthorized, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_401_to_a_change_goes_back_to_the_caller_and_the_next_call_logs_in() {
    let (cloud, script) = scripted((0..3).map(|_| answer(202, "")));
    stop(&cloud).await.unwrap();
    script.revoke("token-1");
    let error = stop(&cloud).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unauthorized);
    assert!(error.certainly_not_done());
    assert_eq!((script.calls().len(), script.logins()), (2, 1));
    stop(&cloud).await.unwrap();
    assert_eq!((script.calls().len(), script.logins()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_to_the_other_protector_is_told_again_after_a_401() {
    let (cloud, script) = scripted([no_flavors(), ok(json!({})), answer(204, "")]);
    ask_flavors(&cloud).await.unwrap();
    script.revoke("token-1");
    let peer = cloud.protector();
    peer.put_json::<Value>("/v1/x", &json!({})).await.unwrap();
    script.revoke("token-2");
    peer.delete("/v1/x").await.unwrap();
    assert_eq!(script.logins(), 3);
}

/// Signs with what it is shown, and with how often it has signed.
#[derive(Default)]
struct Numbered(std::sync::atomic::AtomicUsize);

impl MessageSigner for Numbered {
    fn sign(&self, message: &UnsignedMessage<'_>) -> Result<HeaderMap, String> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let token = message.headers["x-auth-token"].to_str().unwrap();
        let body = String::from_utf8_lossy(message.body);
        let text = format!(
            "{number} {} {} {token} {body}",
            message.method, message.target
        );
        Ok(HeaderMap::from_iter([(
            http::HeaderName::from_static("signature"),
            HeaderValue::from_str(&text).unwrap(),
        )]))
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_of_a_message_to_a_protector_is_signed_anew_and_nothing_else_is() {
    let (cloud, script) = scripted([no_flavors(), answer(503, ""), ok(json!({})), ok(json!({}))]);
    let cloud = cloud.with_signer(Arc::new(Numbered::default()));
    ask_flavors(&cloud).await.unwrap();
    let peer = cloud.protector();
    let query = [("a", "b c")];
    peer.get_json_where::<Value>("/v1/x", &query).await.unwrap();
    script.revoke("token-1");
    let body = json!({"y": 1});
    peer.put_json::<Value>("/v1/x", &body).await.unwrap();
    let signatures: Vec<Option<String>> = script
        .calls()
        .iter()
        .map(|call| header(call, "signature").map(str::to_owned))
        .collect();
    let signed = [
        None,
        Some("0 GET /v1/x?a=b%20c token-1 "),
        Some("1 GET /v1/x?a=b%20c token-1 "),
        Some("2 PUT /v1/x token-1 {\"y\":1}"),
        Some("3 PUT /v1/x token-2 {\"y\":1}"),
    ];
    assert_eq!(signatures, signed.map(|text| text.map(str::to_owned)));
}

/// Has no key.
struct Keyless;

impl MessageSigner for Keyless {
    fn sign(&self, _: &UnsignedMessage<'_>) -> Result<HeaderMap, String> {
        Err("no key".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_signed_is_not_sent() {
    let (cloud, script) = scripted([]);
    let cloud = cloud.with_signer(Arc::new(Keyless));
    let error = cloud.protector().delete("/v1/x").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Final);
    assert!(error.to_string().contains("no key"), "{error}");
    assert_eq!(script.calls().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_before_it_ends() {
    let (cloud, script) = scripted((0..3).map(|_| no_flavors()));
    ask_flavors(&cloud).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600 - 121)).await;
    ask_flavors(&cloud).await.unwrap();
    assert_eq!(script.logins(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    ask_flavors(&cloud).await.unwrap();
    assert_eq!(script.logins(), 2);
    assert_eq!(header(&script.calls()[2], "x-auth-token"), Some("token-2"));
}

#[tokio::test(start_paused = true)]
async fn microversions_are_the_newest_that_both_sides_know() {
    let mut script = ScriptedCloud::new([no_flavors(), answer(202, ""), no_flavors()]);
    script.nova = "2.87";
    let (cloud, script) = cloud_of(script);
    ask_flavors(&cloud).await.unwrap();
    cloud
        .volume()
        .delete_volume(&VolumeId::new("v1"))
        .await
        .unwrap();
    let calls = script.calls();
    assert_eq!(
        header(&calls[0], "openstack-api-version"),
        Some("compute 2.87")
    );
    assert_eq!(
        header(&calls[0], "x-openstack-nova-api-version"),
        Some("2.87")
    );
    assert_eq!(
        header(&calls[1], "openstack-api-version"),
        Some("volume 3.70")
    );
    assert_eq!(header(&calls[1], "x-openstack-nova-api-version"), None);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_is_too_old_is_told_so_before_anything_is_sent() {
    let mut script = ScriptedCloud::new([]);
    script.nova = "2.79";
    let (cloud, script) = cloud_of(script);
    let error = cloud
        .compute()
        .set_delete_on_termination(&server(), &VolumeId::new("v1"), false)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Nova of this cloud supports microversions up to 2.79, but PUT /servers/s1/os-volume_attachments/v1 \
         needs 2.85: upgrade the cloud"
    );
    assert_eq!(error.class(), ErrorClass::Final);
    assert!(script.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_to_their_last_page() {
    let row = |id: &str| json!({"id": id, "name": id, "vcpus": 1, "ram": 1, "disk": 1, "swap": ""});
    let next = json!([{"rel": "next", "href": "http://elsewhere/flavors/detail?marker=b"}]);
    let (cloud, script) = scripted([
        ok(json!({"flavors": [row("a"), row("b")], "flavors_links": next})),
        ok(json!({"flavors": [row("c"), row("d")]})),
        no_flavors(),
    ]);
    let found = cloud.compute().flavors().await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|flavor| flavor.id.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    assert_eq!(
        script.lines(),
        [
            "GET /v2.1/flavors/detail?limit=2",
            "GET /v2.1/flavors/detail?limit=2&marker=b",
            "GET /v2.1/flavors/detail?limit=2&marker=d",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_in_circles_is_an_error_and_not_a_short_list() {
    let page = || {
        ok(
            json!({"flavors": [{"id": "a", "name": "a", "vcpus": 1, "ram": 1, "disk": 1}],
            "flavors_links": [{"rel": "next", "href": "x"}]}),
        )
    };
    let (cloud, _) = scripted([page(), page()]);
    let error = cloud.compute().flavors().await.unwrap_err();
    assert!(
        error.to_string().contains("repeats what was read"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_begins_anew_when_the_element_at_a_page_break_goes_away() {
    let row = |id: &str| json!({"id": id, "name": id, "vcpus": 1, "ram": 1, "disk": 1});
    let gone = r#"{"badRequest": {"code": 400, "message": "marker [b] not found"}}"#;
    let (cloud, _) = scripted([
        ok(json!({"flavors": [row("a"), row("b")]})),
        answer(400, gone),
        ok(json!({"flavors": [row("a")]})),
    ]);
    assert_eq!(cloud.compute().flavors().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_element_without_a_field_that_decisions_rest_on_fails_the_list() {
    let (cloud, _) = scripted([ok(json!({"servers": [{"id": "s1", "status": "UNKNOWN"}]}))]);
    let error = cloud
        .compute()
        .servers(&ServerFilter::all())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Nova answered GET /servers/detail in an unexpected form: element s1: missing field `name`"
    );
    assert_eq!(error.class(), ErrorClass::Final);
}

#[tokio::test(start_paused = true)]
async fn a_callers_token_is_used_as_it_is_and_never_renewed() {
    let (cloud, script) = scripted([no_flavors()]);
    let catalog = serde_json::from_value(catalog()).unwrap();
    let caller = cloud
        .session()
        .acting_as(SecretString::from("callers-token"), catalog, None)
        .unwrap();
    let caller = Cloud::new(caller);
    ask_flavors(&caller).await.unwrap();
    assert_eq!(
        header(&script.calls()[0], "x-auth-token"),
        Some("callers-token")
    );
    script.revoke("callers-token");
    assert_eq!(
        ask_flavors(&caller).await.unwrap_err().class(),
        ErrorClass::Unauthorized
    );
    assert_eq!(script.logins(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_global_request_id_goes_along() {
    let (cloud, script) = scripted([no_flavors(), no_flavors()]);
    let id = "req-7a3f2c11-0001-4b22-a918-000000000001";
    ask_flavors(&cloud.with_request_id(id)).await.unwrap();
    ask_flavors(&cloud.with_request_id("req-nonsense"))
        .await
        .unwrap();
    let calls = script.calls();
    assert_eq!(header(&calls[0], "x-openstack-request-id"), Some(id));
    assert_eq!(header(&calls[1], "x-openstack-request-id"), None);
}

#[tokio::test(start_paused = true)]
async fn a_missing_endpoint_names_service_region_and_remedy() {
    let script = Arc::new(ScriptedCloud::new([]));
    let mut wrong = credentials();
    wrong.region_name = Some("south".to_owned());
    let cloud = Cloud::new(Session::new(script, wrong, options()));
    let error = ask_flavors(&cloud).await.unwrap_err().to_string();
    assert!(
        error.contains("no Nova endpoint for interface public in region south"),
        "{error}"
    );
    assert!(error.contains("it offers public in north"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn overrides_replace_the_catalogue() {
    let script = Arc::new(ScriptedCloud::new([ok(json!({"networks": []}))]));
    let mut options = options();
    options
        .endpoint_overrides
        .insert(Service::Network, "http://other.test:9696".to_owned());
    let cloud = Cloud::new(Session::new(script.clone(), credentials(), options));
    cloud.network().networks(None).await.unwrap();
    assert_eq!(
        script.calls()[0].url,
        "http://other.test:9696/v2.0/networks?limit=2"
    );
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_ever_printed() {
    let (cloud, script) = scripted([lost(), answer(404, ""), no_flavors()]);
    let error = stop(&cloud).await.unwrap_err();
    let clouds = CloudSessions::new(options());
    let transport: Arc<dyn Transport> = script.clone();
    clouds.cloud(&transport, credentials());
    let printed = [
        format!("{cloud:?} {:?} {:?}", cloud.session(), cloud.compute()),
        format!("{:?} {clouds:?}", credentials()),
        format!("{error} {error:?}"),
        format!("{:?}", script.calls()[0].headers),
    ];
    for text in printed {
        assert!(
            !text.contains(PASSWORD) && !text.contains("token-1"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_are_kept_by_login_and_replaced_with_the_password() {
    let (_, script) = scripted([]);
    let transport: Arc<dyn Transport> = script;
    let clouds = CloudSessions::new(options());
    let same = |a: &Cloud, b: &Cloud| Arc::ptr_eq(&a.session().shared, &b.session().shared);
    let first = clouds.cloud(&transport, credentials());
    assert!(same(&first, &clouds.cloud(&transport, credentials())));
    assert!(!same(
        &first,
        &clouds.cloud(&transport, credentials().in_project("p2".into()))
    ));
    let mut changed = credentials();
    changed.password = SecretString::from("battery staple");
    let second = clouds.cloud(&transport, changed.clone());
    assert!(!same(&first, &second) && same(&second, &clouds.cloud(&transport, changed)));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_times() {
    let run = |seed| async move {
        let script = Arc::new(ScriptedCloud::new((0..4).map(|_| answer(503, ""))));
        let mut options = options();
        options.retry.jitter = crate::retry::Jitter::Seeded(seed);
        let started = Instant::now();
        let cloud = Cloud::new(Session::new(script, credentials(), options));
        ask_flavors(&cloud).await.unwrap_err();
        started.elapsed()
    };
    assert_eq!(run(3).await, run(3).await);
    assert_ne!(run(3).await, run(4).await);
}

/// Notes what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<(String, ExchangeOutcome, Duration)>>);

impl ExchangeObserver for Told {
    fn observed(&self, call: &Call, outcome: ExchangeOutcome, took: Duration) {
        let line = format!("{} {call}", call.service);
        self.0.lock().unwrap().push((line, outcome, took));
    }
}

#[tokio::test(start_paused = true)]
async fn each_exchange_is_observed_once_logins_and_repetitions_too() {
    let (cloud, _) = scripted([
        answer(503, ""),
        unreachable(),
        lost(),
        Reply::Hang,
        no_flavors(),
    ]);
    let told = Arc::new(Told::default());
    let cloud = cloud.with_observer(told.clone());
    let error = ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Passing);
    // A clone shares the token, the version and the observer.
    ask_flavors(&cloud.with_deadline(Duration::from_secs(9)))
        .await
        .unwrap();
    let flavors = "Nova GET /flavors/detail";
    let at_once = Duration::ZERO;
    let expected = [
        (
            "Keystone POST /auth/tokens",
            ExchangeOutcome::Answered(201),
            at_once,
        ),
        ("Nova GET /", ExchangeOutcome::Answered(200), at_once),
        (flavors, ExchangeOutcome::Answered(503), at_once),
        (flavors, ExchangeOutcome::Unreachable, at_once),
        (flavors, ExchangeOutcome::Lost, at_once),
        (flavors, ExchangeOutcome::Lost, options().exchange_timeout),
        (flavors, ExchangeOutcome::Answered(200), at_once),
    ]
    .map(|(line, outcome, took)| (line.to_owned(), outcome, took));
    assert_eq!(*told.0.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_whose_caller_stops_waiting_is_lost() {
    let (cloud, _) = scripted([no_flavors(), Reply::Hang]);
    let told = Arc::new(Told::default());
    let cloud = cloud.with_observer(told.clone());
    ask_flavors(&cloud).await.unwrap();
    told.0.lock().unwrap().clear();
    let patience = Duration::from_secs(15);
    timeout(patience, ask_flavors(&cloud)).await.unwrap_err();
    let line = "Nova GET /flavors/detail".to_owned();
    let expected = (line, ExchangeOutcome::Lost, patience);
    assert_eq!(*told.0.lock().unwrap(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_no_time_to_be_sent_is_no_exchange() {
    let (cloud, _) = scripted([no_flavors()]);
    let told = Arc::new(Told::default());
    let cloud = cloud
        .with_observer(told.clone())
        .with_deadline(Duration::ZERO);
    ask_flavors(&cloud).await.unwrap_err();
    assert_eq!(*told.0.lock().unwrap(), []);
}

//! Two simulated clouds and a protector on each, in a directory of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cloud::{Cloud, word},
    http::{Http, Memory},
    openstack_command::Shell,
    ports::free_port,
    program::{API, ENGINE, Held, MANAGE, Program, run_to_end, said, simcloud},
    waiting::until,
};

const START: Duration = Duration::from_secs(60);

/// Passwords and tokens of one house, found nowhere else.
pub struct Secrets {
    pub service_password: String,
    pub tenant_password: String,
    pub array_token_a: String,
    pub array_token_b: String,
}

impl Secrets {
    fn new() -> Self {
        let unique = |what: &str| format!("{what}-{}", fresh_id().simple());
        Self {
            service_password: unique("service-password"),
            tenant_password: unique("tenant-password"),
            array_token_a: unique("array-token-a"),
            array_token_b: unique("array-token-b"),
        }
    }
}

/// A cloud with its protector.
pub struct Site {
    pub cloud: Cloud,
    pub configuration: PathBuf,
    pub state_path: PathBuf,
    api_url: String,
    api: Option<Program>,
    engine: Option<Program>,
    api_log: PathBuf,
    engine_log: PathBuf,
}

/// The house.
pub struct House {
    pub a: Site,
    pub b: Site,
    pub http: Http,
    pub secrets: Secrets,
    pub logs: PathBuf,
    pub shell: Shell,
    simcloud: Program,
    dir: TempDir,
}

/// What of a house is not as usual.
#[derive(Clone, Copy, Default)]
pub struct Wishes {
    /// Log at DEBUG.
    pub debug: bool,
    /// Lines of `[engine]`, on both sites.
    pub engine: &'static str,
}

impl House {
    /// Starts everything, and registers the sites and the tenant with each other.
    pub async fn new() -> Self {
        Self::with(Wishes::default()).await
    }

    pub async fn with(wishes: Wishes) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("protector-house-")
            .tempdir()
            .unwrap();
        let logs = dir.path().join("log");
        for name in [
            "log",
            "array-a",
            "array-b",
            "mock_storage",
            "site-a",
            "site-b",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let http = Http::new();
        let cloud_ports = [free_port(), free_port()];
        let api_ports = [free_port(), free_port()];
        let mut arguments = Vec::new();
        for (place, site) in ["a", "b"].into_iter().enumerate() {
            let array = dir.path().join(format!("array-{site}"));
            let cloud = format!(
                "site-{site},127.0.0.1:{},{}",
                cloud_ports[place],
                array.display()
            );
            let protector = format!("site-{site}=http://127.0.0.1:{}", api_ports[place]);
            arguments.extend([
                "--cloud".to_owned(),
                cloud,
                "--protector".to_owned(),
                protector,
            ]);
        }
        let simcloud = Program::start(&simcloud(), &arguments, &logs.join("simcloud.log"));
        let secrets = Secrets::new();
        let site = |place: usize, letter: &str| {
            let name = format!("site-{letter}");
            let volumes = dir.path().join(format!("array-{letter}"));
            let state_path = dir.path().join(&name);
            Site {
                cloud: Cloud::new(&name, cloud_ports[place], volumes, http.clone()),
                configuration: state_path.join("protector.conf"),
                state_path,
                api_url: format!("http://127.0.0.1:{}", api_ports[place]),
                api: None,
                engine: None,
                api_log: logs.join(format!("api-{name}.log")),
                engine_log: logs.join(format!("engine-{name}.log")),
            }
        };
        let (a, b) = (site(0, "a"), site(1, "b"));
        let shell = Shell::for_clouds(&[&a.cloud, &b.cloud], &secrets.tenant_password, dir.path());
        let mut house = Self {
            a,
            b,
            http,
            secrets,
            logs,
            shell,
            simcloud,
            dir,
        };
        house.open(api_ports, wishes).await;
        house
    }

    async fn open(&mut self, api_ports: [u16; 2], wishes: Wishes) {
        for site in [&self.a, &self.b] {
            let health = format!("{}/_admin/health", site.cloud.base);
            answers(&self.http, &health).await;
            site.cloud
                .set_password("protector", &self.secrets.service_password)
                .await;
            site.cloud
                .set_password("demo", &self.secrets.tenant_password)
                .await;
        }
        self.simcloud.must_run();
        let root = self.dir.path().to_owned();
        for (site, port) in [&mut self.a, &mut self.b].into_iter().zip(api_ports) {
            let text = configuration(site, &root, port, &self.secrets.service_password, wishes);
            fs::write(&site.configuration, text).unwrap();
            manage(&site.configuration, &["keys", "setup"]).await;
            manage(&site.configuration, &["db", "sync"]).await;
            site.start_api();
            site.start_engine();
        }
        for site in [&self.a, &self.b] {
            site.must_answer(&self.http).await;
        }
        self.register().await;
    }

    /// Stops the services of site-a in order and starts them again, as after a change of their configuration.
    pub async fn restart_a(&mut self) {
        assert!(self.a.terminate_api().await.success());
        assert!(self.a.terminate_engine().await.success());
        self.a.start_api();
        self.a.start_engine();
        self.a.must_answer(&self.http).await;
    }

    /// What the administrators of both clouds do once.
    async fn register(&self) {
        let a = self.a.cloud.log_in("admin", "admin", "admin").await;
        let b = self.b.cloud.log_in("admin", "admin", "admin").await;
        let both = [(&self.a, a.token.as_str()), (&self.b, b.token.as_str())];
        for of in [&self.a, &self.b] {
            let id = fresh_id().to_string();
            for (at, token) in both {
                let body = json!({"site": {"id": id, "name": of.cloud.name, "auth_url": of.cloud.keystone(),
                    "region_name": of.cloud.name, "username": "protector",
                    "password": self.secrets.service_password, "project_name": "service"}});
                self.ask(at, Method::POST, "/v1/admin/sites", token, Some(body))
                    .await
                    .good();
            }
        }
        let password = &self.secrets.tenant_password;
        let tenant_a = self.a.cloud.log_in("demo", password, "demo").await;
        let tenant_b = self.b.cloud.log_in("demo", password, "demo").await;
        let id = fresh_id().to_string();
        for (at, token) in both {
            let body = json!({"tenant_mapping": {"id": id,
                "primary_site": "site-a", "primary_project_id": tenant_a.project_id,
                "secondary_site": "site-b", "secondary_project_id": tenant_b.project_id}});
            self.ask(
                at,
                Method::POST,
                "/v1/admin/tenant-mappings",
                token,
                Some(body),
            )
            .await
            .good();
        }
    }

    /// Asks the protector of `site`.
    pub async fn ask(
        &self,
        site: &Site,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> crate::http::Answer {
        let url = format!("{}{path}", site.api_url);
        self.http
            .ask(method, &url, Some(token), body.as_ref(), Memory::Kept)
            .await
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for log in files_below(&self.logs) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the last of {}", log.display());
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
    }
}

impl Site {
    fn arguments(&self) -> Vec<String> {
        vec![
            "--config-file".to_owned(),
            self.configuration.display().to_string(),
        ]
    }

    pub fn start_api(&mut self) {
        assert!(self.api.is_none(), "an API runs");
        self.api = Some(Program::start(API, &self.arguments(), &self.api_log));
    }

    /// The URL of a path of its API.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api_url)
    }

    /// What its API holds of the machine now.
    pub fn held_by_api(&self) -> Held {
        self.api.as_ref().expect("no API runs").held()
    }

    pub async fn must_answer(&self, http: &Http) {
        answers(http, &format!("{}/healthcheck", self.api_url)).await;
    }

    pub fn start_engine(&mut self) {
        assert!(self.engine.is_none(), "an engine runs");
        let engine = Program::start(ENGINE, &self.arguments(), &self.engine_log);
        self.engine = Some(engine);
    }

    /// Starts the engine under the name of another host.
    pub fn start_engine_of(&mut self, host: &str) {
        assert!(self.engine.is_none(), "an engine runs");
        let other = self.state_path.join(format!("{host}.conf"));
        fs::write(&other, format!("[DEFAULT]\nhost = {host}\n")).unwrap();
        let mut arguments = self.arguments();
        arguments.extend(["--config-file".to_owned(), other.display().to_string()]);
        self.engine = Some(Program::start(ENGINE, &arguments, &self.engine_log));
    }

    /// The engine stands still, as on a host that gets no time.
    pub async fn freeze_engine(&self) {
        self.engine.as_ref().expect("no engine runs").freeze().await;
    }

    /// It goes on.
    pub fn thaw_engine(&self) {
        self.engine.as_ref().expect("no engine runs").thaw();
    }

    /// What the engine has said so far.
    pub fn engine_says(&self) -> String {
        fs::read_to_string(&self.engine_log).unwrap_or_default()
    }

    /// Another engine for the same database, under the same host's name, with a state directory of its own. Started once
    /// this returns.
    pub async fn second_engine(&self) -> Program {
        let state = self.state_path.join("second");
        fs::create_dir_all(&state).unwrap();
        let more = self.state_path.join("second.conf");
        let text = format!(
            "[DEFAULT]\nstate_path = {}\n[database]\nconnection = sqlite:///{}/protector.sqlite\n",
            state.display(),
            self.state_path.display()
        );
        fs::write(&more, text).unwrap();
        let mut arguments = self.arguments();
        arguments.extend(["--config-file".to_owned(), more.display().to_string()]);
        let log = self.engine_log.with_extension("second.log");
        let engine = Program::start(ENGINE, &arguments, &log);
        until("the second engine to start", START, async || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            said.contains("started").then_some(())
        })
        .await;
        engine
    }

    /// Stops both programs and starts them so that their disk can be filled.
    pub async fn restart_on_small_disk(&mut self, http: &Http) {
        assert!(self.terminate_api().await.success());
        assert!(self.terminate_engine().await.success());
        let arguments = self.arguments();
        let start =
            |binary: &str, log: &Path| Program::start_on_small_disk(binary, &arguments, log);
        self.api = Some(start(API, &self.api_log));
        self.engine = Some(start(ENGINE, &self.engine_log));
        self.must_answer(http).await;
    }

    /// The disk that both programs write to is full from now on.
    pub fn fill_disk(&self) {
        for program in [&self.api, &self.engine] {
            program.as_ref().expect("no program runs").fill_disk();
        }
    }

    /// It has room again.
    pub fn free_disk(&self) {
        for program in [&self.api, &self.engine] {
            program.as_ref().expect("no program runs").free_disk();
        }
    }

    pub fn kill_engine(&mut self) {
        self.engine.take().expect("no engine runs").kill();
    }

    pub async fn terminate_engine(&mut self) -> std::process::ExitStatus {
        self.engine
            .take()
            .expect("no engine runs")
            .terminate()
            .await
    }

    pub async fn terminate_api(&mut self) -> std::process::ExitStatus {
        self.api.take().expect("no API runs").terminate().await
    }
}

fn configuration(site: &Site, root: &Path, port: u16, password: &str, wishes: Wishes) -> String {
    let Site {
        cloud, state_path, ..
    } = site;
    let (name, keystone) = (&cloud.name, cloud.keystone());
    let (state, root) = (state_path.display(), root.display());
    format!(
        "[DEFAULT]\nsite_name = {name}\nstate_path = {state}\ndebug = {debug}\n\
         [api]\nbind_host = 127.0.0.1\nbind_port = {port}\n\
         [engine]\npoll_interval_seconds = 0.05\nstatus_poll_seconds = 0.05\nhealth_check_seconds = 0\n{engine}\n\
         [openstack]\nmax_retries = 1\nallow_http_sites = true\n\
         [keystone_authtoken]\nauth_url = {keystone}\nusername = protector\npassword = {password}\n\
         project_name = service\ninterface = public\n\
         [oslo_policy]\npolicy_file = {state}/policy.yaml\n\
         [secrets]\nkey_repository = {state}/keys\n\
         [storage]\nenabled_arrays = array-a, array-b\nmock_catalogue = {root}/mock_storage/catalogue.sqlite\n\
         [array-a]\ndriver = MockStorageDriver\ndirectory = {root}/array-a\n\
         [array-b]\ndriver = MockStorageDriver\ndirectory = {root}/array-b\n",
        debug = wishes.debug,
        engine = wishes.engine,
    )
}

/// `protector-manage`, which must succeed. Returns what it says.
pub async fn manage(configuration: &Path, what: &[&str]) -> String {
    let file = configuration.display().to_string();
    let arguments = [&["--config-file", file.as_str()], what].concat();
    let output = run_to_end(MANAGE, &arguments, START).await;
    assert!(output.status.success(), "{what:?}: {}", said(&output));
    said(&output)
}

async fn answers(http: &Http, url: &str) {
    until(url, START, async || {
        http.try_get(url).await.filter(|status| *status == 200)
    })
    .await;
}

/// All files below `dir`.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The operation of an answer.
pub fn operation_id(answer: &Value) -> String {
    word(&answer["operation"]["id"])
}

#[allow(
    clippy::disallowed_methods,
    reason = "no two runs meet in one database"
)]
fn fresh_id() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

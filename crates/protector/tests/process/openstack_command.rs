//! The `openstack` command with the plugin, as a tenant types it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    cloud::Cloud,
    program::{Program, run_command},
};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A tenant's shell: `clouds.yaml` with both sites, site-a in front of it.
pub struct Shell {
    clouds_yaml: PathBuf,
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Printed {
    /// What it printed; panics unless it succeeded.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// What it said instead of doing it; panics if it succeeded.
    pub fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.err);
        self.err
    }
}

impl Shell {
    /// For the tenant `demo`: entries named after the clouds, and after them and `-admin` for who administers them.
    pub fn for_clouds(clouds: &[&Cloud], tenant_password: &str, dir: &Path) -> Self {
        let mut text = "clouds:\n".to_owned();
        for cloud in clouds {
            let name = &cloud.name;
            for (entry, user, password, project) in [
                (name.clone(), "demo", tenant_password, "demo"),
                (format!("{name}-admin"), "admin", "admin", "admin"),
            ] {
                text += &format!(
                    "  {entry}:\n    auth: {{auth_url: \"{keystone}\", username: {user}, password: {password},\n           \
                     project_name: {project}, user_domain_name: Default, project_domain_name: Default}}\n    \
                     region_name: {name}\n    identity_api_version: 3\n",
                    keystone = cloud.keystone(),
                );
            }
        }
        let clouds_yaml = dir.join("clouds.yaml");
        fs::write(&clouds_yaml, text).unwrap();
        Self { clouds_yaml }
    }

    /// Types a line that begins with `openstack`, and waits for its end.
    pub async fn types(&self, line: &str) -> Printed {
        let output = run_command(self.command(line), PATIENCE).await;
        Printed {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Types a line and leaves it running; what it prints goes to `log`.
    pub fn begins(&self, line: &str, log: &Path) -> Program {
        Program::spawn(self.command(line), log)
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("openstack"), "{line}");
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client/.venv/bin/openstack");
        assert!(
            program.exists(),
            "{} is not there: 'make client' installs it",
            program.display()
        );
        let mut command = Command::new(program);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("OS_")) {
            command.env_remove(name);
        }
        command
            .args(words)
            .env("OS_CLIENT_CONFIG_FILE", &self.clouds_yaml)
            .env("OS_CLOUD", "site-a")
            .env("OS_SECONDARY_CLOUD", "site-b")
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONUNBUFFERED", "1")
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

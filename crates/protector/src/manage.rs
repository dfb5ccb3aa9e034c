//! `protector-manage`: what an operator does on the host itself.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::{Parser, Subcommand};
use protector_core::{
    clock::{Clock as _, SystemClock},
    new_id::RandomIds,
};
use protector_oslo::{Config, policy::Enforcer};
use protector_peer::site_identity::SiteIdentity;
use protector_service::command_line::ConfigArgs;
use protector_store::{Database, KeyRepository};

use crate::{
    assembly,
    purge::{Purge, Purged},
};

/// How `db purge` ends where there is nothing, as that of Nova does.
const NOTHING_TO_PURGE: u8 = 3;

/// Administration of a protector installation
#[derive(Parser)]
#[command(name = "protector-manage", version)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The database
    #[command(subcommand)]
    Db(Db),
    /// The configuration file
    #[command(subcommand)]
    Config(ConfigWhat),
    /// The policy file
    #[command(subcommand)]
    Policy(Policy),
    /// The keys that secrets in the database are encrypted with
    #[command(subcommand)]
    Keys(Keys),
    /// The secrets themselves
    #[command(subcommand)]
    Secrets(Secrets),
    /// The key with which this site signs what it tells the protectors of other sites
    #[command(subcommand)]
    SigningKey(SigningKeyWhat),
    /// The services
    #[command(subcommand)]
    Service(Service),
    /// Print the OpenAPI document of the REST API
    Openapi,
    /// Print in Markdown what becomes of each attribute of a VM on its copy
    Carried,
    /// Print in Markdown the codes of the API's refusals
    Refusals,
}

#[derive(Subcommand)]
enum Db {
    /// Bring the schema to this release's version, and encrypt the texts of tenants that an earlier release kept in clear
    Sync,
    /// Print the schema's version, and what is pending
    Version,
    /// Remove old records that nothing rests on any more: operations that have ended and left nothing, copies of such
    /// operations of other sites, engines that are gone. Moves of groups are kept. Ends with 3 where nothing may be removed
    Purge(Purge),
}

#[derive(Subcommand)]
enum ConfigWhat {
    /// Read the configuration and say what is wrong with it
    Check,
    /// Print a commented sample
    Sample,
    /// Print the reference of all options in Markdown
    Reference,
}

#[derive(Subcommand)]
enum Policy {
    /// Read the policy file and say what is wrong with it
    Check,
    /// Print a commented sample
    Sample,
}

#[derive(Subcommand)]
enum Keys {
    /// Make the key repository with its first key, if it is not there
    Setup,
    /// Add a key that is used from now on, also by services that run; older ones still decrypt. Copy it to all hosts that
    /// use this database
    Rotate,
    /// Remove the keys that no secret in the database needs any more, from this host. The newest two stay
    Prune,
}

#[derive(Subcommand)]
enum Secrets {
    /// Encrypt all secrets in the database with the newest key: passwords of sites, tokens of arrays, the signing key, and
    /// what tenants entrust to it (user data of servers, URLs of hooks, paths of probes)
    Rotate,
}

#[derive(Subcommand)]
enum SigningKeyWhat {
    /// Print the key's fingerprint, which the other sites know it by; the key is made if there is none
    Show,
    /// Make a new key, used at once by all services of this site. The other sites refuse what it signs until their
    /// administrators have said that it is right
    Rotate,
}

#[derive(Subcommand)]
enum Service {
    /// List the engines that use this database
    List,
}

/// Does what the arguments say; what it has to show goes to stdout.
///
/// # Errors
///
/// What went wrong, for stderr.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &arguments.what {
        What::Config(ConfigWhat::Sample) => write!(out, "{}", protector_oslo::config::sample())?,
        What::Config(ConfigWhat::Reference) => {
            write!(out, "{}", protector_oslo::config::reference_markdown())?;
        }
        What::Policy(Policy::Sample) => write!(out, "{}", protector_oslo::policy::sample())?,
        What::Carried => write!(out, "{}", protector_core::carried::page())?,
        What::Refusals => write!(out, "{}", protector_api::app::refusal::page())?,
        What::Openapi => writeln!(out, "{}", protector_api::openapi().to_pretty_json()?)?,
        What::Config(ConfigWhat::Check) => {
            let config = arguments.config.load()?;
            config.essentials()?;
            writeln!(out, "The configuration is valid.")?;
        }
        What::Policy(Policy::Check) => {
            let path = arguments.config.load()?.oslo_policy.policy_file;
            Enforcer::open(&path)?;
            writeln!(out, "{} is valid.", path.display())?;
        }
        What::Keys(Keys::Setup) => {
            let dir = arguments.config.load()?.secrets.key_repository;
            KeyRepository::setup(&dir).with_context(|| dir.display().to_string())?;
            writeln!(out, "{} is ready.", dir.display())?;
        }
        What::Keys(Keys::Rotate) => {
            let dir = arguments.config.load()?.secrets.key_repository;
            let number = KeyRepository::rotate(&dir).with_context(|| dir.display().to_string())?;
            writeln!(
                out,
                "Key {number} is used from now on. Copy it to all hosts that use this database; then 'protector-manage secrets rotate' encrypts with it what older keys encrypted."
            )?;
        }
        What::Keys(Keys::Prune) => on_runtime(prune_keys(arguments, &mut out))?,
        What::Secrets(Secrets::Rotate) => on_runtime(rotate_secrets(arguments, &mut out))?,
        What::SigningKey(what) => on_runtime(signing_key(arguments, what, &mut out))?,
        What::Db(Db::Purge(purge)) => {
            return on_runtime(purged(arguments, purge, &mut out));
        }
        What::Db(what) => on_runtime(database(arguments, what, &mut out))?,
        What::Service(Service::List) => on_runtime(services(arguments, &mut out))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

async fn database(arguments: &Arguments, what: &Db, out: &mut impl Write) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let database = assembly::connect_to_manage(&config).await?;
    if matches!(what, Db::Sync) {
        database.migrate().await?;
        seal_texts(&config, &database, out).await?;
    }
    let version = database.schema_version().await?;
    writeln!(out, "{}", version.applied.as_deref().unwrap_or("none"))?;
    for pending in version.pending {
        writeln!(out, "pending: {pending}")?;
    }
    Ok(())
}

async fn purged(
    arguments: &Arguments,
    purge: &Purge,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let database = assembly::connect_to_manage(&arguments.config.load()?).await?;
    database.require_current_schema().await?;
    let purged = purge.run(&database, SystemClock.now(), out).await?;
    Ok(match purged {
        Purged::Some => ExitCode::SUCCESS,
        Purged::Nothing => ExitCode::from(NOTHING_TO_PURGE),
    })
}

/// What is in clear stays so where there are no keys: the schema does not wait for them.
async fn seal_texts(
    config: &Config,
    database: &Database,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let clear = database.texts_in_clear().await?;
    if clear == 0 {
        return Ok(());
    }
    match KeyRepository::open(&config.secrets.key_repository) {
        Ok(keys) => {
            let rekeyed = database.clone().with_keys(keys).secrets_rekey().await?;
            writeln!(
                out,
                "Texts of tenants that were kept in clear: {clear}, encrypted with key {} now. Backups from before hold them still.",
                rekeyed.key
            )?;
        }
        Err(error) => writeln!(
            out,
            "Texts of tenants that are kept in clear: {clear}. They cannot be encrypted: {error}. 'protector-manage secrets rotate' does it later."
        )?,
    }
    Ok(())
}

async fn rotate_secrets(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<()> {
    let database = assembly::database(&arguments.config.load()?).await?;
    let rekeyed = database.secrets_rekey().await?;
    writeln!(
        out,
        "Secrets encrypted with key {}: {} anew, {} were already. 'protector-manage keys prune' removes keys that are not needed any more.",
        rekeyed.key, rekeyed.renewed, rekeyed.current
    )?;
    anyhow::ensure!(
        rekeyed.unread.is_empty(),
        "{} texts of tenants stay as they are:\n{}",
        rekeyed.unread.len(),
        rekeyed.unread.join("\n")
    );
    Ok(())
}

async fn signing_key(
    arguments: &Arguments,
    what: &SigningKeyWhat,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let identity = SiteIdentity {
        database: assembly::database(&config).await?,
        site: config.essentials()?.site_name.into(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    };
    let key = match what {
        SigningKeyWhat::Show => identity.kept_key().await?,
        SigningKeyWhat::Rotate => identity.new_key().await?,
    };
    let fingerprint = key.public.fingerprint();
    match what {
        SigningKeyWhat::Show => writeln!(out, "{fingerprint}")?,
        SigningKeyWhat::Rotate => writeln!(
            out,
            "{site} signs with {fingerprint} from now on. On each other site an administrator runs 'openstack dr site set {site} --peer-key {fingerprint}': until then what this site tells it is refused.",
            site = identity.site
        )?,
    }
    Ok(())
}

async fn prune_keys(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let needed = assembly::database(&config).await?.keys_in_use().await?;
    let dir = &config.secrets.key_repository;
    let removed = KeyRepository::prune(dir, &needed).with_context(|| dir.display().to_string())?;
    let numbers: Vec<String> = removed.iter().map(u32::to_string).collect();
    if numbers.is_empty() {
        writeln!(out, "All keys are needed; the newest two always are.")?;
    } else {
        writeln!(out, "Keys removed: {}.", numbers.join(", "))?;
    }
    Ok(())
}

async fn services(arguments: &Arguments, out: &mut impl Write) -> anyhow::Result<()> {
    let database = assembly::connect_to_manage(&arguments.config.load()?).await?;
    for engine in database.engine_list().await? {
        writeln!(
            out,
            "{}  {}  version {}  started {}  seen {}{}",
            engine.id,
            engine.host,
            engine.version,
            engine.started_at.format("%Y-%m-%dT%H:%M:%SZ"),
            engine.seen_at.format("%Y-%m-%dT%H:%M:%SZ"),
            if engine.stopping { "  stopped" } else { "" }
        )?;
    }
    Ok(())
}

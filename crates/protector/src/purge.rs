//! `protector-manage db purge`: removes what nothing rests on any more.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::Args;
use protector_store::Database;

/// What is purged, and how.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("age").required(true))]
pub struct Purge {
    /// Purge what ended before this day, or this time (RFC 3339), in UTC
    #[arg(long, value_name = "DATE", group = "age", value_parser = time_of)]
    before: Option<DateTime<Utc>>,
    /// Purge what ended more than so many days ago
    #[arg(long, value_name = "DAYS", group = "age", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    age_in_days: Option<u32>,
    /// How many operations are removed in one transaction
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=400))]
    batch: u16,
    /// Append what is removed to this file first, as it is stored, one JSON value a line. Without it, it is gone
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Remove nothing and say how much there is
    #[arg(long)]
    dry_run: bool,
}

/// Whether there was anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// Something was removed, or would be.
    Some,
    Nothing,
}

fn time_of(text: &str) -> Result<DateTime<Utc>, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = day.map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let time = || DateTime::parse_from_rfc3339(text).ok();
    midnight
        .or_else(|| time().map(|time| time.to_utc()))
        .ok_or_else(|| "write it as 2026-03-31 or 2026-03-31T12:00:00Z".to_owned())
}

impl Purge {
    /// Before when something must have ended, as of `now`.
    fn cutoff(&self, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
        let days = |days: u32| now - TimeDelta::days(i64::from(days));
        let before = self.before.or_else(|| self.age_in_days.map(days));
        let before = before.context("--before or --age-in-days says what is purged")?;
        anyhow::ensure!(before <= now, "--before: {before} is still to come");
        Ok(before)
    }

    /// Purges `database`, and tells `out`.
    ///
    /// # Errors
    ///
    /// What the database or the archive says. What was removed until then stays removed, and is in the archive.
    pub async fn run(
        &self,
        database: &Database,
        now: DateTime<Utc>,
        out: &mut impl Write,
    ) -> anyhow::Result<Purged> {
        let before = self.cutoff(now)?;
        let found = database.purgeable(before).await?;
        let since = before.format("%Y-%m-%dT%H:%M:%SZ");
        if found.is_empty() {
            writeln!(out, "Nothing of before {since} may be purged.")?;
            return Ok(Purged::Nothing);
        }
        if self.dry_run {
            writeln!(
                out,
                "{} operations, {} copies of operations and {} engines of before {since} would be purged.",
                found.operations.len(),
                found.copies.len(),
                found.engines
            )?;
            return Ok(Purged::Some);
        }
        let mut archive = self.archive.as_deref().map(opened).transpose()?;
        let (mut operations, mut copies) = (0, 0);
        for ids in found.operations.chunks(usize::from(self.batch)) {
            if let Some(archive) = &mut archive {
                append(archive, &database.operation_rows(ids).await?)?;
            }
            operations += database.purge_operations(ids, before).await?;
        }
        for ids in found.copies.chunks(usize::from(self.batch)) {
            if let Some(archive) = &mut archive {
                append(archive, &database.copy_rows(ids).await?)?;
            }
            copies += database.purge_copies(ids, before).await?;
        }
        let engines = database.purge_engines(before).await?;
        writeln!(
            out,
            "{operations} operations, {copies} copies of operations and {engines} engines of before {since} were purged."
        )?;
        Ok(Purged::Some)
    }
}

/// Records are a tenant's: nobody but the owner of the file reads them.
fn opened(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("--archive {}", path.display()))
}

/// Writes the rows, and sees that they are on the disk before anything is removed.
fn append(archive: &mut File, rows: &[serde_json::Value]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&row.to_string());
        lines.push('\n');
    }
    archive.write_all(lines.as_bytes()).context("--archive")?;
    archive.sync_all().context("--archive")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        purge: Purge,
    }

    fn purge(arguments: &[&str]) -> Result<Purge, String> {
        let line = Line::try_parse_from([&["purge"], arguments].concat());
        line.map(|line| line.purge)
            .map_err(|error| error.to_string())
    }

    fn at(text: &str) -> DateTime<Utc> {
        time_of(text).unwrap()
    }

    #[test]
    fn a_day_a_time_or_an_age_says_what_is_purged() {
        let now = at("2026-03-31T12:00:00Z");
        for (arguments, before) in [
            (["--before", "2026-03-01"], "2026-03-01T00:00:00Z"),
            (
                ["--before", "2026-03-01T10:00:00+02:00"],
                "2026-03-01T08:00:00Z",
            ),
            (["--age-in-days", "30"], "2026-03-01T12:00:00Z"),
        ] {
            let cutoff = purge(&arguments).unwrap().cutoff(now);
            assert_eq!(cutoff.unwrap(), at(before), "{arguments:?}");
        }
        let tomorrow = purge(&["--before", "2026-04-01"]).unwrap();
        let refused = tomorrow.cutoff(now).unwrap_err().to_string();
        assert!(refused.contains("still to come"), "{refused}");
    }

    #[test]
    fn without_an_age_or_with_none_nothing_is_purged() {
        for arguments in [
            &[][..],
            &["--age-in-days", "0"],
            &["--before", "yesterday"],
            &["--before", "2026-03-01", "--age-in-days", "3"],
            &["--age-in-days", "3", "--batch", "0"],
        ] {
            assert!(purge(arguments).is_err(), "{arguments:?}");
        }
    }

    async fn database(dir: &tempfile::TempDir) -> Database {
        let file = dir.path().join("protector.sqlite");
        let url = format!("sqlite://{}", file.display()).into();
        let database = Database::connect(&url, protector_store::PoolOptions::default());
        let database = database.await.unwrap();
        database.migrate().await.unwrap();
        database
    }

    async fn seen(database: &Database, at: DateTime<Utc>) {
        let engine = protector_store::EngineRow {
            id: "engine-1".into(),
            host: "host".to_owned(),
            version: "1".to_owned(),
            book_version: 1,
            started_at: at,
            seen_at: at,
            stopping: true,
        };
        database.engine_heartbeat(&engine).await.unwrap();
    }

    #[tokio::test]
    async fn a_dry_run_tells_what_a_run_removes_and_a_second_run_finds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(&dir).await;
        seen(&database, at("2025-01-01")).await;
        let now = at("2026-03-31");
        let mut said = Vec::new();
        let dry = purge(&["--age-in-days", "30", "--dry-run"]).unwrap();
        let wet = purge(&["--age-in-days", "30"]).unwrap();
        for (purge, found) in [
            (&dry, Purged::Some),
            (&dry, Purged::Some),
            (&wet, Purged::Some),
            (&wet, Purged::Nothing),
        ] {
            let purged = purge.run(&database, now, &mut said).await;
            assert_eq!(purged.unwrap(), found);
        }
        assert_eq!(database.engine_list().await.unwrap(), vec![]);
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("1 engines of before 2026-03-01T00:00:00Z would be purged"),
            "{said}"
        );
        assert!(
            said.contains("1 engines of before 2026-03-01T00:00:00Z were purged"),
            "{said}"
        );
        assert!(
            said.ends_with("Nothing of before 2026-03-01T00:00:00Z may be purged.\n"),
            "{said}"
        );
    }
}

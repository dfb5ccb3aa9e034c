//! Reads what waits in the records when somebody asks for the metrics: nothing is read where nobody does.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{clock::Clock, id::GroupId, runbook::BOOK_VERSION};
use protector_store::{Database, StoreError, UnsentGroup};
use tokio::{sync::Mutex, time::timeout};
use tracing::warn;

use crate::metrics::EngineMetrics;

/// How long a reading may take. Prometheus waits for 10 s by itself, and the counters are worth having without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The readings of one engine process.
pub struct Backlog {
    database: Database,
    clock: Arc<dyn Clock>,
    metrics: Arc<EngineMetrics>,
    unsent: Mutex<Unsent>,
}

impl Backlog {
    /// Reads `database` into the gauges of `metrics`.
    pub fn new(database: Database, clock: Arc<dyn Clock>, metrics: Arc<EngineMetrics>) -> Self {
        Self {
            database,
            clock,
            metrics,
            unsent: Mutex::default(),
        }
    }

    /// Sets the gauges to what is true now. Those that the database does not tell in time keep their value.
    ///
    /// Costs three queries: of what can be claimed, by an index; of the groups, three columns each; of the lines that
    /// left something, by an index. One reading at a time.
    pub async fn read(&self) {
        match timeout(PATIENCE, self.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "cannot read what waits"),
            Err(_) => warn!("the database does not tell in time what waits"),
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let mut known = self.unsent.lock().await;
        let now = self.clock.now();
        let queue = self.database.queued_now(BOOK_VERSION).await?;
        self.metrics.note_queue(&queue);
        let left = self.database.left_count().await?;
        self.metrics.leftovers.set(gauge(left));
        let age = known.oldest(self.database.unsent_groups().await?, now);
        self.metrics.unpushed.set(age.as_secs_f64());
        Ok(())
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Since when groups have changes that the other site was not sent. A group tells the time of its newest change only,
/// so what was seen before is remembered: further changes do not make the first one younger.
#[derive(Default)]
struct Unsent {
    read_at: Option<DateTime<Utc>>,
    since: BTreeMap<GroupId, Since>,
}

struct Since {
    pushed_version: u64,
    at: DateTime<Utc>,
}

impl Unsent {
    /// The age of the oldest change of the groups in `unsent`, all that there are at `now`; zero when there is none.
    fn oldest(&mut self, unsent: Vec<UnsentGroup>, now: DateTime<Utc>) -> Duration {
        let known = mem::take(&mut self.since);
        let last_read = self.read_at.replace(now);
        self.since = unsent
            .into_iter()
            .map(|group| {
                let at = since(&group, known.get(&group.id), last_read);
                let pushed_version = group.pushed_version;
                (group.id, Since { pushed_version, at })
            })
            .collect();
        let first = self.since.values().map(|since| since.at).min();
        let age = first.map_or(TimeDelta::zero(), |first| now - first);
        age.to_std().unwrap_or_default()
    }
}

/// When the first change was made that was not sent: remembered while the other site has accepted nothing since. Else
/// it is the newest change, and one that was not there at the last reading is younger than that.
fn since(
    group: &UnsentGroup,
    known: Option<&Since>,
    last_read: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    match known {
        Some(known) if known.pushed_version == group.pushed_version => known.at,
        _ => last_read.map_or(group.updated_at, |read| read.max(group.updated_at)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap() + TimeDelta::seconds(second)
    }

    fn changed(id: &str, second: i64, pushed_version: u64) -> UnsentGroup {
        UnsentGroup {
            id: id.into(),
            pushed_version,
            updated_at: at(second),
        }
    }

    fn age(unsent: &mut Unsent, groups: &[UnsentGroup], second: i64) -> u64 {
        unsent.oldest(groups.to_vec(), at(second)).as_secs()
    }

    #[test]
    fn the_oldest_change_counts_and_what_was_sent_counts_no_more() {
        let mut unsent = Unsent::default();
        assert_eq!(age(&mut unsent, &[], 0), 0);
        let (web, db) = (changed("web", 5, 1), changed("db", 8, 3));
        assert_eq!(age(&mut unsent, &[db.clone(), web], 10), 5);
        assert_eq!(age(&mut unsent, &[db], 20), 12);
        assert_eq!(age(&mut unsent, &[], 30), 0);
    }

    #[test]
    fn further_changes_do_not_make_the_first_one_younger_and_a_push_does() {
        let mut unsent = Unsent::default();
        assert_eq!(age(&mut unsent, &[changed("web", 5, 1)], 10), 5);
        assert_eq!(age(&mut unsent, &[changed("web", 900, 1)], 905), 900);
        assert_eq!(age(&mut unsent, &[changed("web", 907, 2)], 910), 3);
    }

    #[test]
    fn a_version_that_is_raised_without_a_change_is_as_young_as_its_raise() {
        let mut unsent = Unsent::default();
        assert_eq!(age(&mut unsent, &[], 9_990), 0);
        assert_eq!(age(&mut unsent, &[changed("web", 5, 1)], 10_000), 10);
    }

    #[test]
    fn a_change_that_another_clock_puts_into_the_future_has_no_age() {
        let mut unsent = Unsent::default();
        assert_eq!(age(&mut unsent, &[changed("web", 15, 1)], 10), 0);
    }
}

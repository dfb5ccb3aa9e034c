//! Moments of a story that have a name. The numbers of its points move with every look that an engine takes more or less; a
//! pin finds its point again by what is written or sent there.

use protector_core::{
    journal::{Claim, Entry, Journal},
    operation::OperationKind,
};
use protector_openstack::transport::Request;

/// A moment of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoryMoment {
    /// Right before an operation of this kind writes for the nth time, from 1, about a line whose key begins so. The first
    /// such write says that the line begins.
    Written {
        by: OperationKind,
        /// How the line's key begins.
        line: &'static str,
        /// Which of these writes.
        nth: usize,
    },
    /// Right before a call with this method is sent for the nth time, from 1, to a URL that holds this.
    Sent {
        method: &'static str,
        /// A part of the URL.
        to: &'static str,
        /// Which of these calls.
        nth: usize,
    },
}

/// What is written or sent at a point.
#[derive(Clone, Debug)]
pub(crate) enum PointContent {
    /// An entry of an operation about these lines.
    Written {
        by: OperationKind,
        lines: Vec<String>,
    },
    /// A call to a cloud.
    Sent {
        method: String,
        url: String,
    },
    Other,
}

impl PointContent {
    /// The mark of an entry that is about to be written.
    pub async fn of_entry(journal: &dyn Journal, claim: &Claim, entry: &Entry) -> Self {
        let Ok(record) = journal.load(claim).await else {
            return Self::Other;
        };
        let key = |position: &u32| {
            let steps = record.steps.iter();
            let mut at = steps.filter(|step| step.position == *position);
            at.next().map(|step| step.key.clone())
        };
        Self::Written {
            by: record.operation.kind,
            lines: entry
                .steps
                .iter()
                .filter_map(|(position, _)| key(position))
                .collect(),
        }
    }

    /// The mark of a call that is about to be sent.
    pub fn of_call(request: &Request) -> Self {
        Self::Sent {
            method: request.method.to_string(),
            url: request.url.clone(),
        }
    }
}

impl StoryMoment {
    /// Where it is in a story of these points; `None` where it does not come.
    pub(crate) fn point_in(self, marks: &[(FaultPoint, PointContent)]) -> Option<FaultPoint> {
        let nth = match self {
            Self::Written { nth, .. } | Self::Sent { nth, .. } => nth,
        };
        let of_this = marks.iter().filter(|(_, mark)| self.is_of(mark));
        of_this.map(|(point, _)| *point).nth(nth.saturating_sub(1))
    }

    fn is_of(self, mark: &PointContent) -> bool {
        match (self, mark) {
            (
                Self::Written { by, line, .. },
                PointContent::Written {
                    by: kind, lines, ..
                },
            ) => by == *kind && lines.iter().any(|key| key.starts_with(line)),
            (Self::Sent { method, to, .. }, PointContent::Sent { method: sent, url }) => {
                method == sent && url.contains(to)
            }
            _ => false,
        }
    }
}

/// Where it goes wrong, counted over all engines from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// The nth journal write.
    Write(usize),
    /// The nth remote call.
    Call(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_found_by_what_is_written_and_sent() {
        let written = |by, line: &str| PointContent::Written {
            by,
            lines: vec![line.to_owned()],
        };
        let marks = [
            written(OperationKind::Failover, "switch_primary"),
            PointContent::Sent {
                method: "DELETE".to_owned(),
                url: "http://site-b/compute/v2.1/servers/1".to_owned(),
            },
            written(OperationKind::Cleanup, "delete_source_vm:vm-001"),
            written(OperationKind::Cleanup, "delete_source_vm:vm-001"),
        ];
        let marks: Vec<_> = (1..).map(FaultPoint::Write).zip(marks).collect();
        let deletion = |nth| StoryMoment::Written {
            by: OperationKind::Cleanup,
            line: "delete_source_vm",
            nth,
        };
        assert_eq!(deletion(1).point_in(&marks), Some(FaultPoint::Write(3)));
        assert_eq!(deletion(2).point_in(&marks), Some(FaultPoint::Write(4)));
        assert_eq!(deletion(3).point_in(&marks), None);
        let sent = StoryMoment::Sent {
            method: "DELETE",
            to: "/servers/",
            nth: 1,
        };
        assert_eq!(sent.point_in(&marks), Some(FaultPoint::Write(2)));
    }
}

//! What happens in the world beside the engines: what people do, and which place is lost when.

/// One of the two sites of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorldSite {
    /// Where the group runs at first.
    Source,
    Target,
}

/// Something that happens once, at a point of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// A person starts the group's first server there.
    Start(WorldSite),
    /// A person stops it.
    Stop(WorldSite),
    /// A person deletes it.
    DeleteServer(WorldSite),
    /// A person deletes it, and its volumes.
    DeleteAll(WorldSite),
    /// A person makes a volume and attaches it to it.
    Attach(WorldSite),
    /// A person detaches its last volume.
    Detach(WorldSite),
    /// A person takes a snapshot of its last volume.
    Snapshot(WorldSite),
    /// Its last volume goes to another project, as soon as nothing holds it.
    Transfer(WorldSite),
    /// A person copies the metadata of a copy to a server and a volume that have nothing to do with it.
    CopyMarks,
    /// A person starts it and protects it in a group of its own.
    ProtectAgain(WorldSite),
    /// A person protects it in a group of its own, as it is.
    Protect(WorldSite),
    /// A person maps the group's networks to others.
    EditMappings,
    /// Nobody reaches the place for ten minutes. All is well there.
    CutOff(WorldSite),
    /// The same, and a person who sees it starts the server at the other one.
    CutOffAndReplaced(WorldSite),
    /// The target is cut off for ten minutes, and the source as soon as it is back.
    CutOffInTurn,
    /// The database is put back to what it was when the story began.
    Restored,
    /// Nova there loses the next deletion of a server: it shows `deleting` for ever.
    LoseDeletion(WorldSite),
}

impl ActKind {
    /// All that people do, and all places that are lost for a while.
    pub const ALL: [Self; 28] = [
        Self::Start(WorldSite::Source),
        Self::Start(WorldSite::Target),
        Self::Stop(WorldSite::Source),
        Self::Stop(WorldSite::Target),
        Self::DeleteServer(WorldSite::Source),
        Self::DeleteServer(WorldSite::Target),
        Self::DeleteAll(WorldSite::Source),
        Self::DeleteAll(WorldSite::Target),
        Self::Attach(WorldSite::Source),
        Self::Attach(WorldSite::Target),
        Self::Detach(WorldSite::Source),
        Self::Detach(WorldSite::Target),
        Self::Snapshot(WorldSite::Source),
        Self::Snapshot(WorldSite::Target),
        Self::Transfer(WorldSite::Source),
        Self::Transfer(WorldSite::Target),
        Self::CopyMarks,
        Self::ProtectAgain(WorldSite::Source),
        Self::ProtectAgain(WorldSite::Target),
        Self::Protect(WorldSite::Source),
        Self::EditMappings,
        Self::CutOff(WorldSite::Source),
        Self::CutOff(WorldSite::Target),
        Self::CutOffAndReplaced(WorldSite::Target),
        Self::CutOffInTurn,
        Self::Restored,
        Self::LoseDeletion(WorldSite::Source),
        Self::LoseDeletion(WorldSite::Target),
    ];

    /// Whether it is a cloud's mishap of which nothing is left to do for a person.
    pub(crate) fn passes(self) -> bool {
        self == Self::LoseDeletion(WorldSite::Target)
    }

    /// What is done for it, one after the other, each this many seconds after the one before.
    pub(crate) fn strokes(self) -> Vec<(u64, Stroke)> {
        match self {
            Self::Start(place) => vec![(0, Stroke::Start(place))],
            Self::Stop(place) => vec![(0, Stroke::Stop(place))],
            Self::DeleteServer(place) => vec![(0, Stroke::DeleteServer(place))],
            Self::DeleteAll(place) => vec![
                (0, Stroke::DeleteServer(place)),
                (1, Stroke::DeleteVolumes(place)),
            ],
            Self::Attach(place) => vec![
                (0, Stroke::MakeVolume(place)),
                (1, Stroke::AttachVolume(place)),
            ],
            Self::Detach(place) => vec![(0, Stroke::DetachVolume(place))],
            Self::Snapshot(place) => vec![(0, Stroke::Snapshot(place))],
            Self::Transfer(place) => vec![
                (0, Stroke::OfferVolume(place)),
                (1, Stroke::AcceptVolume(place)),
            ],
            Self::CopyMarks => vec![(0, Stroke::CopyMarks)],
            Self::ProtectAgain(place) => {
                vec![(0, Stroke::Start(place)), (1, Stroke::Protect(place))]
            }
            Self::Protect(place) => vec![(0, Stroke::Protect(place))],
            Self::EditMappings => vec![(0, Stroke::EditMappings)],
            Self::CutOff(place) => {
                vec![(0, Stroke::CutOff(place)), (600, Stroke::Reconnect(place))]
            }
            Self::CutOffAndReplaced(place) => vec![
                (0, Stroke::CutOff(place)),
                (60, Stroke::Start(place.other())),
                (540, Stroke::Reconnect(place)),
            ],
            Self::CutOffInTurn => vec![
                (0, Stroke::CutOff(WorldSite::Target)),
                (600, Stroke::Reconnect(WorldSite::Target)),
                (1, Stroke::CutOff(WorldSite::Source)),
                (600, Stroke::Reconnect(WorldSite::Source)),
            ],
            Self::Restored => vec![(0, Stroke::Restore)],
            Self::LoseDeletion(place) => vec![(0, Stroke::LoseDeletion(place))],
        }
    }
}

impl WorldSite {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }
}

/// The smallest thing that happens at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Start(WorldSite),
    Stop(WorldSite),
    DeleteServer(WorldSite),
    /// Those of the server that was deleted there.
    DeleteVolumes(WorldSite),
    MakeVolume(WorldSite),
    AttachVolume(WorldSite),
    DetachVolume(WorldSite),
    Snapshot(WorldSite),
    OfferVolume(WorldSite),
    AcceptVolume(WorldSite),
    CopyMarks,
    Protect(WorldSite),
    EditMappings,
    CutOff(WorldSite),
    Reconnect(WorldSite),
    Restore,
    LoseDeletion(WorldSite),
}

/// A deed, and how many seconds after its point it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    pub deed: ActKind,
    /// So many seconds after the point.
    pub after: u64,
}

impl Act {
    /// Done at the point itself.
    pub fn at_once(deed: ActKind) -> Self {
        Self { deed, after: 0 }
    }
}

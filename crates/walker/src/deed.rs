//! What happens in the world beside the engines: what people do, and which place is lost when.

/// One of the two sites of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where the group runs at first.
    Source,
    /// Its other site.
    Target,
}

/// Something that happens once, at a point of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A person starts the group's first server there.
    Start(Place),
    /// A person stops it.
    Stop(Place),
    /// A person deletes it.
    DeleteServer(Place),
    /// A person deletes it, and its volumes.
    DeleteAll(Place),
    /// A person makes a volume and attaches it to it.
    Attach(Place),
    /// A person detaches its last volume.
    Detach(Place),
    /// A person takes a snapshot of its last volume.
    Snapshot(Place),
    /// Its last volume goes to another project, as soon as nothing holds it.
    Transfer(Place),
    /// A person copies the metadata of a copy to a server and a volume that have nothing to do with it.
    CopyMarks,
    /// A person starts it and protects it in a group of its own.
    ProtectAgain(Place),
    /// A person protects it in a group of its own, as it is.
    Protect(Place),
    /// A person maps the group's networks to others.
    EditMappings,
    /// Nobody reaches the place for ten minutes. All is well there.
    CutOff(Place),
    /// The same, and a person who sees it starts the server at the other one.
    CutOffAndReplaced(Place),
    /// The target is cut off for ten minutes, and the source as soon as it is back.
    CutOffInTurn,
    /// The database is put back to what it was when the story began.
    Restored,
    /// Nova there loses the next deletion of a server: it shows `deleting` for ever.
    LoseDeletion(Place),
}

impl Deed {
    /// All that people do, and all places that are lost for a while.
    pub const ALL: [Self; 28] = [
        Self::Start(Place::Source),
        Self::Start(Place::Target),
        Self::Stop(Place::Source),
        Self::Stop(Place::Target),
        Self::DeleteServer(Place::Source),
        Self::DeleteServer(Place::Target),
        Self::DeleteAll(Place::Source),
        Self::DeleteAll(Place::Target),
        Self::Attach(Place::Source),
        Self::Attach(Place::Target),
        Self::Detach(Place::Source),
        Self::Detach(Place::Target),
        Self::Snapshot(Place::Source),
        Self::Snapshot(Place::Target),
        Self::Transfer(Place::Source),
        Self::Transfer(Place::Target),
        Self::CopyMarks,
        Self::ProtectAgain(Place::Source),
        Self::ProtectAgain(Place::Target),
        Self::Protect(Place::Source),
        Self::EditMappings,
        Self::CutOff(Place::Source),
        Self::CutOff(Place::Target),
        Self::CutOffAndReplaced(Place::Target),
        Self::CutOffInTurn,
        Self::Restored,
        Self::LoseDeletion(Place::Source),
        Self::LoseDeletion(Place::Target),
    ];

    /// Whether it is a cloud's mishap of which nothing is left to do for a person.
    pub(crate) fn passes(self) -> bool {
        self == Self::LoseDeletion(Place::Target)
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
                (0, Stroke::CutOff(Place::Target)),
                (600, Stroke::Reconnect(Place::Target)),
                (1, Stroke::CutOff(Place::Source)),
                (600, Stroke::Reconnect(Place::Source)),
            ],
            Self::Restored => vec![(0, Stroke::Restore)],
            Self::LoseDeletion(place) => vec![(0, Stroke::LoseDeletion(place))],
        }
    }
}

impl Place {
    /// The other one.
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
    Start(Place),
    Stop(Place),
    DeleteServer(Place),
    /// Those of the server that was deleted there.
    DeleteVolumes(Place),
    MakeVolume(Place),
    AttachVolume(Place),
    DetachVolume(Place),
    Snapshot(Place),
    OfferVolume(Place),
    AcceptVolume(Place),
    CopyMarks,
    Protect(Place),
    EditMappings,
    CutOff(Place),
    Reconnect(Place),
    Restore,
    LoseDeletion(Place),
}

/// A deed, and how many seconds after its point it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// What is done.
    pub deed: Deed,
    /// So many seconds after the point.
    pub after: u64,
}

impl Act {
    /// Done at the point itself.
    pub fn at_once(deed: Deed) -> Self {
        Self { deed, after: 0 }
    }
}

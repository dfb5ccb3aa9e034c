//! The volumes of a member, side by side.

use std::collections::BTreeSet;

use super::{AttributeOutcome, ComparedAttribute, Comparison, Strictly, Verdict};
use crate::{
    id::VolumeId,
    member::{Member, ProtectedVolume},
    member_settings::{one, pairs},
};

type InWords = fn(&ProtectedVolume) -> String;

impl Comparison<'_> {
    pub(super) fn volumes(&self) -> Vec<ComparedAttribute> {
        let mut lines = Vec::new();
        for volume in &self.built.volumes {
            let of = |member: &'_ Member| {
                let mut volumes = member.volumes.iter();
                volumes.find(|known| known.id == volume.id).cloned()
            };
            let (was, is) = (of(self.recorded), of(&self.now.member));
            match is {
                Some(is) => lines.extend(self.volume(volume, was.as_ref(), &is)),
                None => lines.push(unprotected(
                    volume,
                    was.as_ref(),
                    "it is not attached any more: take the member up anew",
                )),
            }
        }
        let known: BTreeSet<&VolumeId> = self.built.volumes.iter().map(|known| &known.id).collect();
        let since = self.now.member.volumes.iter();
        let since = since.filter(|volume| !known.contains(&volume.id));
        lines.extend(since.map(|volume| {
            let why = "it was attached since and is not protected: take the member up anew";
            ComparedAttribute {
                recorded: None,
                now: Some(label(volume)),
                ..unprotected(volume, None, why)
            }
        }));
        lines
    }

    fn volume(
        &self,
        built: &ProtectedVolume,
        was: Option<&ProtectedVolume>,
        is: &ProtectedVolume,
    ) -> Vec<ComparedAttribute> {
        let named = device(built);
        let recorded = |of: InWords| was.map_or_else(|| one(None), of);
        let line = |field: &str, of: InWords| {
            let verdict = Verdict::kept(of(built));
            let field = format!("{named}{field}");
            self.line(&field, recorded(of), Some(of(is)), verdict)
        };
        let mut lines = vec![line("", label), self.volume_type(&named, built)];
        let further: [(&str, InWords); 3] = [
            (" description", |volume| one(volume.description.as_deref())),
            (" metadata", |volume| pairs(&volume.metadata)),
            (" image properties", |volume| {
                pairs(&volume.image_properties)
            }),
        ];
        let is_set = |line: &ComparedAttribute| {
            let none = one(None);
            [&line.recorded, &line.now, &line.copy]
                .into_iter()
                .any(|value| value.as_ref().is_some_and(|value| *value != none))
        };
        let further = further.into_iter().map(|(field, of)| line(field, of));
        lines.extend(further.filter(is_set));
        lines
    }

    fn volume_type(&self, named: &str, volume: &ProtectedVolume) -> ComparedAttribute {
        let now = self.now.volume_types.get(&volume.id).cloned();
        let mapped = volume.volume_type.as_ref();
        let mapped = mapped.and_then(|known| self.mappings.volume_types.get(known));
        let there = mapped
            .map(String::as_str)
            .or(self.group.volume_type_on_other());
        let verdict = match (there, &self.there.volume_types) {
            (None, _) => Verdict::changed(
                "Cinder's choice",
                "the group has no type for the other site",
            ),
            (Some(_), Err(why)) => Verdict::unknown(why),
            (Some(id), Ok(types)) => match types.get(id) {
                Some(name) if Some(name) == now.as_ref() => Verdict::kept(name),
                Some(name) if mapped.is_some() => Verdict::changed(name, "by mapping"),
                Some(name) => Verdict::changed(name, "by mapping: the group's type there"),
                None => Verdict::without_copy(
                    AttributeOutcome::Refused,
                    format!("{} has no volume type {id} any more", self.site()),
                ),
            },
        };
        ComparedAttribute {
            field: format!("{named} type"),
            recorded: None,
            now,
            copy: verdict.copy,
            outcome: verdict.outcome,
            why: verdict.why,
            strictly: verdict.strictly,
        }
    }
}

/// A volume that is attached and not protected, or the other way round.
fn unprotected(
    volume: &ProtectedVolume,
    was: Option<&ProtectedVolume>,
    why: &str,
) -> ComparedAttribute {
    ComparedAttribute {
        field: device(volume),
        recorded: was.map(label),
        now: Some("not attached".to_owned()),
        copy: None,
        outcome: AttributeOutcome::Refused,
        why: Some(why.to_owned()),
        strictly: Strictly::Passes,
    }
}

fn device(volume: &ProtectedVolume) -> String {
    match volume.device.as_str() {
        "" => format!("volume {}", volume.id),
        device => format!("volume {device}"),
    }
}

fn label(volume: &ProtectedVolume) -> String {
    let name = match volume.name.as_str() {
        "" => volume.id.as_str(),
        name => name,
    };
    format!("{name}, {} GiB", volume.size_gib)
}

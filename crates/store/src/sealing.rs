//! Confidential texts of tenants in the rows that hold them: sealed on the way in, opened for who needs them.
//!
//! A text is sealed for the group and the member or hook that it is of, not for one row: a plan takes it from the member, and
//! a move brings it back, without anybody opening it. What is read from a row is sealed still; [`Database::opened`] opens it.

use std::ops::Deref;

use protector_core::{
    confidential::{Confidential, Field, HoldsConfidential},
    id::GroupId,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    database::Database,
    error::StoreError,
    secrets::{KeyRepository, SecretError, SecretLocation},
};

/// A part of a record in which every confidential text is sealed: the only form in which one is written.
#[derive(Clone, Debug)]
pub(crate) struct Kept<T>(T);

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Database {
    /// `part` of `group`, its confidential texts opened. One that cannot be opened stays sealed and says why; so does one
    /// that is not of this group.
    #[must_use]
    pub fn opened<T: HoldsConfidential>(&self, group: &GroupId, mut part: T) -> T {
        part.each_confidential(&mut |field, text| {
            if let Some(sealed) = text.seal() {
                *text = open(self.keys(), &place_of(group, field).place(), sealed);
            }
        });
        part
    }

    /// `part` of `group` as it may be written.
    ///
    /// # Errors
    ///
    /// `Secret` when there is no key to seal with.
    pub(crate) fn kept<T: HoldsConfidential>(
        &self,
        group: &GroupId,
        mut part: T,
    ) -> Result<Kept<T>, StoreError> {
        try_each(&mut part, |field, text| {
            let Ok(clear) = text.expose() else {
                return Ok(());
            };
            let owned = place_of(group, field);
            *text = sealed(self.keys()?, owned.place(), clear)?;
            Ok::<_, StoreError>(())
        })?;
        Ok(Kept(part))
    }
}

/// What became of a sealed text in another one's place, with the keys that there are.
pub(crate) fn open(
    keys: Result<&KeyRepository, SecretError>,
    place: &SecretLocation<'_>,
    sealed: &str,
) -> Confidential {
    match keys.and_then(|keys| keys.decrypt(*place, sealed)) {
        Ok(clear) => Confidential::new(clear.expose_secret()),
        Err(error) => Confidential::sealed(sealed, Some(explained(place, &error))),
    }
}

/// `error` with the place that it is about.
pub(crate) fn explained(place: &SecretLocation<'_>, error: &SecretError) -> String {
    let (error, place) = (error.to_string(), place.to_string());
    match error.contains(&place) {
        true => error,
        false => format!("the stored secret of {place} cannot be read: {error}"),
    }
}

pub(crate) fn sealed(
    keys: &KeyRepository,
    place: SecretLocation<'_>,
    clear: &str,
) -> Result<Confidential, SecretError> {
    let sealed = keys.encrypt(place, &SecretString::from(clear))?;
    Ok(Confidential::sealed(sealed, None))
}

/// Lets `visit` replace each text until one fails.
pub(crate) fn try_each<T: HoldsConfidential + ?Sized, E>(
    part: &mut T,
    mut visit: impl FnMut(Field<'_>, &mut Confidential) -> Result<(), E>,
) -> Result<(), E> {
    let mut outcome = Ok(());
    part.each_confidential(&mut |field, text| {
        if outcome.is_ok() {
            outcome = visit(field, text);
        }
    });
    outcome
}

/// For what a text is sealed.
pub(crate) struct OwnedPlace {
    table: &'static str,
    row: String,
    column: &'static str,
}

impl OwnedPlace {
    pub(crate) fn place(&self) -> SecretLocation<'_> {
        SecretLocation {
            table: self.table,
            row: &self.row,
            column: self.column,
        }
    }
}

/// The place of a text of `group`.
pub(crate) fn place_of(group: &GroupId, field: Field<'_>) -> OwnedPlace {
    let (table, of, column) = match field {
        Field::UserData { member } => ("members", member.as_str(), "server.user_data"),
        Field::HookUrl { hook } => ("protection_groups", hook, "recovery_plan.hooks.url"),
        Field::ProbePath { member } => (
            "protection_groups",
            member.as_str(),
            "recovery_plan.members.probe.path",
        ),
    };
    OwnedPlace {
        table,
        row: format!("{}/{}", without_slash(group.as_str()), without_slash(of)),
        column,
    }
}

/// Two names never make the place of two others: what another site calls its members is its own affair.
fn without_slash(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(group: &str, member: &str) -> String {
        let member = member.into();
        let field = Field::UserData { member: &member };
        place_of(&group.into(), field).place().to_string()
    }

    #[test]
    fn no_two_members_have_one_place() {
        assert_eq!(place("g", "m"), "members/g/m/server.user_data");
        let places = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b%2Fc")];
        let places = places.map(|(group, member)| place(group, member));
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), places.len(), "{places:?}");
    }
}

//! What was said of something that went wrong, by a cloud, an array or the other site: for people to read, and of any length.

use protector_core::text;
use sea_orm::DeriveValueType;

/// Such a text as a column holds it: it is cut when it is made, so that none is too long for its column, and nothing that is
/// to be written down with it, the end of a line or of an operation, is refused for it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct ForeignText(String);

impl ForeignText {
    /// `said`, of which the beginning is kept if it is long.
    pub fn of(said: impl Into<String>) -> Self {
        Self(text::cut(said))
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

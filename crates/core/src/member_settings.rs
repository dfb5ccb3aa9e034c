//! What a tenant sets on a server and its volumes, and a list shows: what tells that a member is not as its group knows it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    mark,
    member::{Member, ProtectedVolume},
};

/// The settings of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    pub name: String,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeSet<String>,
    /// Names of its security groups.
    pub security_groups: BTreeSet<String>,
    /// The name of its key pair.
    pub key_pair: Option<String>,
    pub addresses: BTreeSet<IpAddr>,
}

impl ServerSettings {
    /// As `member`'s group knows them.
    pub fn known(member: &Member) -> Self {
        let server = &member.server;
        let addresses = server.nics.iter().flat_map(|nic| nic.fixed_ips.clone());
        Self {
            name: member.name.clone(),
            description: server.description.clone(),
            metadata: server.metadata.clone(),
            tags: server.tags.iter().cloned().collect(),
            security_groups: server.security_groups.iter().cloned().collect(),
            key_pair: server.key_pair.as_ref().map(|pair| pair.name.clone()),
            addresses: addresses.collect(),
        }
    }

    /// What is another in `now`, in words. Of a copy that a move has made only what every copy gets as its original had it:
    /// the rest may differ because it could not be carried, and is still what the way back wants.
    pub fn differing(&self, now: &Self) -> Vec<Cow<'static, str>> {
        let is_copy = self.metadata.contains_key(mark::SOURCE);
        let may_be_lost = |what: &str| matches!(what, "key pair" | "addresses");
        self.compared(now)
            .into_iter()
            .map(|difference| difference.what)
            .filter(|what| !(is_copy && may_be_lost(what)))
            .collect()
    }

    /// What is another in `now`, with both.
    pub fn compared(&self, now: &Self) -> Vec<Difference> {
        [
            ("name", self.name.clone(), now.name.clone()),
            ("description", one(words(self)), one(words(now))),
            ("metadata", pairs(&self.metadata), pairs(&now.metadata)),
            ("tags", all(&self.tags), all(&now.tags)),
            (
                "security groups",
                all(&self.security_groups),
                all(&now.security_groups),
            ),
            (
                "key pair",
                one(self.key_pair.as_deref()),
                one(now.key_pair.as_deref()),
            ),
            ("addresses", all(&self.addresses), all(&now.addresses)),
        ]
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| Difference {
            what: what.into(),
            was,
            is,
        })
        .collect()
    }
}

/// A setting that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: Cow<'static, str>,
    /// What it was, in words.
    pub was: String,
    pub is: String,
}

/// A text, or that there is none.
pub fn one(text: Option<&str>) -> String {
    text.unwrap_or("none").to_owned()
}

/// All of them in a line, or that there is none.
pub fn all(items: &BTreeSet<impl ToString>) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.is_empty() {
        true => "none".to_owned(),
        false => items.join(", "),
    }
}

/// What tenants have written: what an operation has marked is no setting.
pub fn pairs(metadata: &BTreeMap<String, String>) -> String {
    let own = own(metadata).into_iter();
    all(&own.map(|(key, value)| format!("{key}={value}")).collect())
}

/// The settings of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSettings {
    /// Its name; empty where it has none.
    pub name: String,
    pub metadata: BTreeMap<String, String>,
    /// Its size in GiB.
    pub size_gib: u64,
}

impl VolumeSettings {
    /// As the group knows them.
    pub fn known(volume: &ProtectedVolume) -> Self {
        Self {
            name: volume.name.clone(),
            metadata: volume.metadata.clone(),
            size_gib: volume.size_gib,
        }
    }

    /// Whether something is another in `now`.
    pub fn differ(&self, now: &Self) -> bool {
        (&self.name, self.size_gib) != (&now.name, now.size_gib)
            || own(&self.metadata) != own(&now.metadata)
    }
}

fn own(metadata: &BTreeMap<String, String>) -> BTreeMap<&String, &String> {
    let by_us = |key: &String| key.starts_with("protector:");
    metadata.iter().filter(|(key, _)| !by_us(key)).collect()
}

fn words(settings: &ServerSettings) -> Option<&str> {
    words_of(settings.description.as_deref(), &settings.name)
}

/// Nova shows a description that nobody has given as the name, as empty, or not at all.
pub fn words_of<'t>(description: Option<&'t str>, name: &str) -> Option<&'t str> {
    description.filter(|words| !words.is_empty() && *words != name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ServerSettings {
        ServerSettings {
            name: "web".to_owned(),
            metadata: [("tier".to_owned(), "front".to_owned())].into(),
            security_groups: ["default".to_owned()].into(),
            key_pair: Some("alice".to_owned()),
            addresses: [IpAddr::from([10, 0, 0, 5])].into(),
            description: None,
            tags: BTreeSet::new(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let now = ServerSettings {
            name: "shop".to_owned(),
            metadata: BTreeMap::new(),
            security_groups: ["web".to_owned()].into(),
            key_pair: None,
            addresses: BTreeSet::new(),
            description: Some("the shop".to_owned()),
            tags: ["blue".to_owned()].into(),
        };
        let all = [
            "name",
            "description",
            "metadata",
            "tags",
            "security groups",
            "key pair",
            "addresses",
        ];
        assert_eq!(settings().differing(&now), all);
        assert!(settings().differing(&settings()).is_empty());
        let named_so = ServerSettings {
            description: Some("web".to_owned()),
            ..settings()
        };
        assert!(settings().differing(&named_so).is_empty());
    }

    #[test]
    fn both_are_told_of_what_differs() {
        let now = ServerSettings {
            addresses: [IpAddr::from([10, 0, 0, 9])].into(),
            security_groups: BTreeSet::new(),
            ..settings()
        };
        let told: Vec<String> = settings()
            .compared(&now)
            .into_iter()
            .map(|Difference { what, was, is }| format!("{what}: {was}, {is}"))
            .collect();
        assert_eq!(
            told,
            [
                "security groups: default, none",
                "addresses: 10.0.0.5, 10.0.0.9"
            ]
        );
    }

    #[test]
    fn what_a_copy_could_not_get_is_still_what_the_way_back_wants() {
        let mut copy = settings();
        copy.metadata
            .insert(mark::SOURCE.to_owned(), "server-1".to_owned());
        let mut now = copy.clone();
        now.metadata
            .insert(mark::OPERATION.to_owned(), "op-1".to_owned());
        (now.key_pair, now.addresses) = (None, BTreeSet::new());
        assert!(copy.differing(&now).is_empty());
        now.name = "renamed".to_owned();
        assert_eq!(copy.differing(&now), ["name"]);
    }
}

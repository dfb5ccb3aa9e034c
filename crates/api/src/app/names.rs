//! What names, descriptions, URLs and mappings must look like. Every refusal names its field.

use std::collections::BTreeMap;

use protector_wire::text::unseen;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::http::error::{ApiError, ApiResult};

/// The longest name and description, in characters: what the database and the clouds' own names hold.
const LONGEST: usize = 255;

/// A name that people use in commands and URLs: printable, not blank, no slash, and not to be taken for an id.
pub fn name(field: &str, text: &str) -> ApiResult<()> {
    let refuse = |why: &str| Err(ApiError::bad_request(format!("{field}: {why}.")));
    if text.trim().is_empty() {
        return refuse("must not be empty");
    }
    if text.trim() != text {
        return refuse("must not begin or end with a space");
    }
    if text.chars().count() > LONGEST {
        return refuse("must be at most 255 characters long");
    }
    if text.contains('/') {
        return refuse("must not contain '/'");
    }
    seen(field, text)?;
    if Uuid::try_parse(text).is_ok() {
        return refuse("must not be a UUID, since names and ids are used alike");
    }
    Ok(())
}

/// A description: anything printable, line breaks too.
pub fn description(field: &str, text: Option<&str>) -> ApiResult<()> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > LONGEST {
        return Err(ApiError::bad_request(format!(
            "{field}: must be at most 255 characters long."
        )));
    }
    seen(field, &text.replace(['\n', '\t'], " "))
}

/// A text that people read in lists and logs: of what it is made must be seen.
pub fn seen(field: &str, text: &str) -> ApiResult<()> {
    let Some(unseen) = unseen(text) else {
        return Ok(());
    };
    Err(ApiError::bad_request(format!(
        "{field}: must not contain the character U+{:04X}, which is not seen, or turns the text around it; write it without.",
        u32::from(unseen)
    )))
}

/// A piece of text that must be there: user, project, domain.
pub fn present(field: &str, text: &str) -> ApiResult<()> {
    if text.trim().is_empty() {
        return Err(ApiError::bad_request(format!(
            "{field}: must not be empty."
        )));
    }
    seen(field, text)
}

/// A secret that must be there. Says nothing of it.
pub fn secret(field: &str, secret: &SecretString) -> ApiResult<()> {
    if secret.expose_secret().is_empty() {
        return Err(ApiError::bad_request(format!(
            "{field}: must not be empty."
        )));
    }
    Ok(())
}

/// A path on the protector host.
pub fn absolute_path(field: &str, text: &str) -> ApiResult<()> {
    if text.starts_with('/') {
        return seen(field, text);
    }
    Err(ApiError::bad_request(format!(
        "{field}: must be an absolute path on the protector host."
    )))
}

/// An `http` or `https` URL with a host, without credentials, query or fragment.
pub fn http_url(field: &str, text: &str) -> ApiResult<()> {
    let refuse = |why: &str| {
        Err(ApiError::bad_request(format!(
            "{field}: {why}; give a URL such as https://keystone.example.org:5000/v3."
        )))
    };
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refuse("is not a URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return refuse("must begin with http:// or https://");
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            refuse("must not contain a user or password")
        }
        Some(authority) if authority.host().is_empty() => refuse("has no host"),
        None => refuse("has no host"),
        Some(_) if uri.query().is_some() || text.contains('#') => {
            refuse("must not have a query or a fragment")
        }
        Some(_) => Ok(()),
    }
}

/// What a policy calls an array: its name in the configuration, or an address.
pub fn array(field: &str, text: &str) -> ApiResult<()> {
    let is_plain = |c: char| !(c.is_whitespace() || c.is_control() || c == '@');
    let is_part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = match text.split_once("://") {
        Some(("https" | "http" | "mock", rest)) => !rest.is_empty() && rest.chars().all(is_plain),
        Some(_) => false,
        None => !text.is_empty() && text.chars().all(is_part_of_name),
    };
    if good {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "{field}: must be the name of one of the arrays that the sites' administrators have enabled, mock://NAME for a simulated one."
    )))
}

/// A network mapping: UUIDs on both sides.
pub fn network_mapping(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    uuids(field, "a network's", map)
}

/// A mapping of server groups: UUIDs on both sides.
pub fn server_group_mapping(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    uuids(field, "a server group's", map)
}

/// A mapping of volume types: UUIDs on both sides.
pub fn volume_type_mapping(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    uuids(field, "a volume type's", map)
}

/// A mapping of QoS policies: ids or names, which Neutron lets be almost anything.
pub fn qos_policy_mapping(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    flavor_mapping(field, map)
}

fn uuids(field: &str, whose: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    let odd = map
        .iter()
        .flat_map(|(from, to)| [from, to])
        .find(|id| Uuid::try_parse(id).is_err());
    odd.map_or(Ok(()), |id| {
        Err(ApiError::bad_request(format!(
            "{field}: '{id}' is not {whose} UUID."
        )))
    })
}

/// A flavor mapping: ids, which Nova lets be almost anything.
pub fn flavor_mapping(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    map.iter()
        .flat_map(|(from, to)| [from, to])
        .try_for_each(|id| present(field, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_not_ids() {
        assert!(name("name", "prod-web-app").is_ok());
        assert!(name("name", "Büro Süd").is_ok());
        for bad in [
            "",
            "  ",
            " x",
            "a/b",
            "a\nb",
            "7a3f2c11-0001-4b22-a918-000000000001",
        ] {
            let error = name("name", bad).unwrap_err();
            assert!(error.message().starts_with("name: "), "{bad:?}");
        }
        assert!(name("name", &"x".repeat(256)).is_err());
    }

    #[test]
    fn urls_are_plain() {
        assert!(http_url("auth_url", "https://k.example.org:5000/v3").is_ok());
        assert!(http_url("auth_url", "http://[::1]:5000").is_ok());
        for bad in [
            "",
            "keystone",
            "ftp://k",
            "https://u:p@k/",
            "https://k/?a=b",
            "file:///etc/passwd",
        ] {
            assert!(http_url("auth_url", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arrays_are_names_or_urls() {
        assert!(array("a", "mock://array-a").is_ok());
        assert!(array("a", "https://10.0.0.1").is_ok());
        assert!(array("a", "ceph-a").is_ok());
        for bad in [
            "",
            "a b",
            "../a",
            "mock://",
            "file:///a",
            "https://u:p@array",
            "mock://a b",
        ] {
            assert!(array("a", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_network_mapping_has_uuids() {
        let good = "7a3f2c11-0001-4b22-a918-000000000001";
        let map = BTreeMap::from([(good.to_owned(), good.to_owned())]);
        assert!(network_mapping("network_mapping", &map).is_ok());
        let map = BTreeMap::from([(good.to_owned(), "net-b".to_owned())]);
        assert!(network_mapping("network_mapping", &map).is_err());
    }
}

//! Rules on single values beyond their type; each error completes "`option = value`: …".

use std::path::Path;

use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use url::Url;

pub(super) fn http_url(value: &str) -> Result<(), String> {
    let host = value
        .strip_prefix("http://")
        .or_else(|| value.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(()),
        _ => Err("must be a URL that begins with http:// or https:// and names a host".to_owned()),
    }
}

pub(super) fn database_url(value: &str) -> Result<(), String> {
    sqlx_url(value).map(|_| ())
}

/// The URL in sqlx's dialect. SQLAlchemy writes `sqlite:///relative` and `sqlite:////absolute`;
/// sqlx strips slashes pairwise and would take the latter for a relative path.
pub(super) fn sqlx_url(value: &str) -> Result<String, String> {
    let supported = "must begin with sqlite:/// or mysql+pymysql://";
    let (scheme, rest) = value.split_once("://").ok_or(supported)?;
    match scheme {
        "sqlite" if rest.is_empty() => Ok("sqlite::memory:".to_owned()),
        "sqlite" => match rest.strip_prefix('/') {
            Some("") | None => Err("must name a file: sqlite:///<path>".to_owned()),
            // `sqlite:////var` and `sqlite:///$state_path` with its leading slash, doubled by hand.
            Some(path) if path.starts_with('/') => {
                Ok(format!("sqlite:///{}", path.trim_start_matches('/')))
            }
            Some(path) => Ok(format!("sqlite://{path}")),
        },
        "mysql" | "mysql+pymysql" | "mariadb" | "mariadb+pymysql" => Ok(format!("mysql://{rest}")),
        _ => Err(supported.to_owned()),
    }
}

pub(super) fn storage_driver(value: &str) -> Result<(), String> {
    match value {
        "PureStorageDriver" => Err(
            "the driver for Pure Storage FlashArray is not in this release; there are MockStorageDriver and CephRbdDriver"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Names of arrays: each is the name of a section too.
pub(super) fn array_names(value: &str) -> Result<(), String> {
    let mut names = Vec::new();
    for name in items(value) {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(is_good) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(format!(
                "`{name}` is no name of an array: it has letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
            ));
        }
        if names.contains(&name) {
            return Err(format!("the array `{name}` is given twice"));
        }
        names.push(name);
    }
    Ok(())
}

pub(super) fn absolute(value: &str) -> Result<(), String> {
    match Path::new(value).is_absolute() {
        true => Ok(()),
        false => Err("must be an absolute path".to_owned()),
    }
}

pub(super) fn hook_url_prefixes(value: &str) -> Result<(), String> {
    items(value).try_for_each(|item| hook_url_prefix(item).map(|_| ()))
}

/// Reads what hooks' URLs may begin with. A path that ends with `/` keeps it from being the beginning of another host.
pub(super) fn hook_url_prefix(item: &str) -> Result<Url, String> {
    let malformed = || {
        format!(
            "`{item}` is not an http or https URL that ends with `/`, such as https://hooks.example.org/dr/"
        )
    };
    let url = Url::parse(item).map_err(|_| malformed())?;
    let good = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.path().ends_with('/')
        && url.query().is_none()
        && url.fragment().is_none();
    good.then_some(url).ok_or_else(malformed)
}

pub(super) fn networks(value: &str) -> Result<(), String> {
    items(value).try_for_each(|item| network(item).map(|_| ()))
}

/// Reads a network by its prefix.
pub(super) fn network(item: &str) -> Result<IpNet, String> {
    item.parse()
        .map_err(|_| format!("`{item}` is not a network such as 10.20.0.0/16 or 2001:db8::/32"))
}

pub(super) fn items(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Ids of Keystone's users: a name would match nobody, without a word.
pub(super) fn user_ids(value: &str) -> Result<(), String> {
    items(value).try_for_each(|id| user_id(id).map(drop))
}

/// 32 hexadecimal digits, or 64 for a user of LDAP or another directory.
pub(super) fn user_id(id: &str) -> Result<String, String> {
    let is_id = matches!(id.len(), 32 | 64) && id.chars().all(|c| c.is_ascii_hexdigit());
    match is_id {
        true => Ok(id.to_ascii_lowercase()),
        false => Err(format!(
            "{id} is not the id of a user: 'openstack user show {id} -f value -c id' tells it"
        )),
    }
}

pub(super) fn log_levels(value: &str) -> Result<(), String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .try_for_each(|item| log_level(item).map(|_| ()))
}

/// Reads `target=LEVEL` with Python's level names.
pub(super) fn log_level(item: &str) -> Result<(String, LevelFilter), String> {
    let malformed = || {
        format!(
            "`{item}` is not of the form target=LEVEL with a level of \
             CRITICAL, ERROR, WARNING, INFO, DEBUG, TRACE"
        )
    };
    let (target, level) = item.split_once('=').ok_or_else(malformed)?;
    let level = match level.trim().to_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => LevelFilter::ERROR,
        "WARNING" | "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        "TRACE" | "NOTSET" => LevelFilter::TRACE,
        _ => return Err(malformed()),
    };
    let target = target.trim();
    if target.is_empty() {
        return Err(malformed());
    }
    Ok((target.to_owned(), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlalchemys_urls_become_sqlxs() {
        let cases = [
            (
                "sqlite:////var/lib/protector/db",
                "sqlite:///var/lib/protector/db",
            ),
            ("sqlite:///relative/db", "sqlite://relative/db"),
            ("sqlite://", "sqlite::memory:"),
            (
                "mysql+pymysql://p:s#cret@db/protector",
                "mysql://p:s#cret@db/protector",
            ),
            ("mysql://p@db/protector", "mysql://p@db/protector"),
        ];
        for (sqlalchemy, sqlx) in cases {
            assert_eq!(sqlx_url(sqlalchemy).as_deref(), Ok(sqlx));
        }
        for refused in ["", "/var/lib/db", "sqlite:///", "postgresql://db/x"] {
            assert!(sqlx_url(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn users_are_named_by_their_ids() {
        let id = "f4b1e2a09c8d4b7a8e6d5c4b3a291807";
        assert_eq!(user_ids(&format!("{id}, {id}{id}")), Ok(()));
        let refused = user_ids("protector").unwrap_err();
        assert!(
            refused.contains("openstack user show protector"),
            "{refused}"
        );
    }

    #[test]
    fn where_hooks_and_probes_may_lead_is_unmistakable() {
        assert_eq!(
            hook_url_prefixes("https://h.example.org/dr/, http://10.0.0.1:8080/"),
            Ok(())
        );
        for refused in [
            "https://h.example.org/dr",
            "h.example.org/",
            "ftp://x/",
            "https://a@b/",
        ] {
            assert!(hook_url_prefixes(refused).is_err(), "{refused}");
        }
        assert_eq!(networks("10.20.0.0/16, 2001:db8::/32"), Ok(()));
        for refused in ["10.20.0.1", "10.20.0.0/33", "any"] {
            assert!(networks(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_array_is_named_once_and_as_a_section_may_be() {
        assert_eq!(array_names("ceph-a, array_b,"), Ok(()));
        for refused in ["a b", "a:/x", "-a", "mock://a", "a, a"] {
            assert!(array_names(refused).is_err(), "{refused}");
        }
    }
}

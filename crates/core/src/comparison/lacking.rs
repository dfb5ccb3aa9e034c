//! What a server has and a copy lacks, or keeps a move from starting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AttributeOutcome, ComparedAttribute, Comparison, Shown, Strictly, Verdict};
use crate::{
    carried::{self, CarriedResource},
    not_carried::{NotCarried, Treatment},
};

impl Comparison<'_> {
    /// What keeps a move from starting, and devices of the host, which the table of attributes has as the flavor's.
    pub(super) fn refused(&self) -> Vec<ComparedAttribute> {
        let found = self.now.not_carried.iter();
        found
            .filter_map(|found| {
                let outcome = match (found.treatment(), found) {
                    (Treatment::Refused, _) => AttributeOutcome::Refused,
                    (Treatment::Told, NotCarried::HostDevice { .. }) => AttributeOutcome::Lost,
                    // Attributes of their own: see what is lacking.
                    (Treatment::Told, _) => return None,
                };
                Some(ComparedAttribute {
                    field: found.what().to_owned(),
                    recorded: None,
                    now: Some("yes".to_owned()),
                    copy: None,
                    outcome,
                    why: Some(format!("the server {found}; {}", found.cure())),
                    strictly: Strictly::Passes,
                })
            })
            .collect()
    }

    /// Nova shows the floating addresses of a server among its others.
    fn floating_ips(&self, server: &Value) -> Vec<ComparedAttribute> {
        let member = &self.now.member;
        let there = self.recovery.floating_ips_on_target(member);
        let named: BTreeMap<String, String> = member
            .floating_ips()
            .zip(there)
            .filter_map(|((_, floating), there)| Some((floating.address.to_string(), there?)))
            .collect();
        let networks = server["addresses"].as_object();
        let addresses = networks.into_iter().flat_map(|networks| networks.values());
        let addresses = addresses.filter_map(Value::as_array).flatten();
        addresses
            .filter(|address| address["OS-EXT-IPS:type"] == "floating")
            .filter_map(|address| address["addr"].as_str())
            .map(|address| {
                let verdict = match named.get(address) {
                    Some(there) => Verdict::changed(there, "by the recovery plan"),
                    None => Verdict::without_copy(
                        AttributeOutcome::Lost,
                        "it belongs to its site: name what takes its place in the recovery plan (floating_ips)",
                    ),
                };
                ComparedAttribute {
                    field: "floating IP".to_owned(),
                    recorded: None,
                    now: Some(address.to_owned()),
                    copy: verdict.copy,
                    outcome: verdict.outcome,
                    why: verdict.why,
                    strictly: verdict.strictly,
                }
            })
            .collect()
    }

    /// What the server has and no step carries.
    pub(super) fn lacking(&self) -> Vec<ComparedAttribute> {
        let Shown {
            server,
            ports,
            volumes,
        } = &self.now.shown;
        let mut lines = self.floating_ips(server);
        let mut of = |prefix: &str, thing: CarriedResource, shown: &Value| {
            let lost = carried::lacking(thing, shown).into_iter();
            lines.extend(lost.map(|lost| ComparedAttribute {
                field: format!("{prefix}{}", lost.name),
                recorded: None,
                now: Some(lost.value),
                copy: None,
                outcome: AttributeOutcome::Lost,
                why: Some(lost.why.to_owned()),
                strictly: Strictly::Passes,
            }));
        };
        of("", CarriedResource::Server, server);
        of("flavor ", CarriedResource::Flavor, &server["flavor"]);
        for port in ports {
            let address = &port["fixed_ips"][0]["ip_address"];
            let known = address.as_str().or(port["id"].as_str());
            of(
                &format!("port {} ", known.unwrap_or_default()),
                CarriedResource::Port,
                port,
            );
        }
        for volume in volumes {
            let names = ["name", "id"].map(|name| volume[name].as_str().unwrap_or_default());
            let known = names.into_iter().find(|name| !name.is_empty());
            of(
                &format!("volume {} ", known.unwrap_or_default()),
                CarriedResource::Volume,
                volume,
            );
        }
        lines
    }
}

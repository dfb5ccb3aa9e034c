//! Cinder's own affairs: services, pools, quotas, limits, extensions.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, integer, uuid_of},
    faults::Component,
    identity::{Caller, hex},
    options::SimulatedQuotas,
    reply::{Answer, fault, ok, policy},
};

impl SimCloud {
    pub(crate) fn volume_service(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        parts: &[&str],
    ) -> Answer {
        match (call.method.as_str(), parts) {
            ("GET", ["os-services"]) => {
                if !caller.is_admin() {
                    return Err(fault(403, "User does not have admin privileges"));
                }
                ok(json!({"services": self.volume_services()}))
            }
            ("GET", ["scheduler-stats", "get_pools"]) => {
                if !caller.is_admin() {
                    return Err(policy("scheduler_extension:scheduler_stats:get_pools"));
                }
                let name = &self.options.volume_host;
                let pool = json!({"name": name, "capabilities": {
                    "volume_backend_name": name.split(['@', '#']).nth(1),
                    "vendor_name": "Test bed",
                    "driver_version": "1.0.0",
                    "storage_protocol": "file",
                    "total_capacity_gb": 10_000,
                    "free_capacity_gb": 10_000,
                    "replication_enabled": true,
                    "multiattach": true,
                    "backend_state": "up",
                }});
                let bare = json!({"name": name});
                ok(json!({"pools": [if call.flag("detail") { pool } else { bare }]}))
            }
            ("GET", ["limits"]) => {
                let quotas = self.volume_quotas(caller.project);
                let (volumes, gib) = self.volume_usage(caller.project);
                ok(json!({"limits": {"rate": [], "absolute": {
                    "maxTotalVolumes": quotas.volumes,
                    "maxTotalVolumeGigabytes": quotas.gigabytes,
                    "maxTotalSnapshots": quotas.snapshots,
                    "maxTotalBackups": -1,
                    "maxTotalBackupGigabytes": -1,
                    "totalVolumesUsed": volumes,
                    "totalGigabytesUsed": gib,
                    "totalSnapshotsUsed": 0,
                    "totalBackupsUsed": 0,
                    "totalBackupGigabytesUsed": 0,
                }}}))
            }
            ("GET", ["os-quota-sets", project, ..]) => {
                let id = uuid_of(project).unwrap_or_default();
                if id != caller.project && !caller.is_admin() {
                    return Err(policy("volume_extension:quotas:show"));
                }
                ok(json!({"quota_set": self.volume_quota_view(call, id)}))
            }
            ("PUT", ["os-quota-sets", project]) => {
                if !caller.is_admin() {
                    return Err(policy("volume_extension:quotas:update"));
                }
                let id = uuid_of(project).unwrap_or_default();
                let given = call.object("quota_set")?;
                let mut quotas = self.volume_quotas(id);
                quotas.volumes = integer(&given, "volumes").unwrap_or(quotas.volumes);
                quotas.gigabytes = integer(&given, "gigabytes").unwrap_or(quotas.gigabytes);
                quotas.snapshots = integer(&given, "snapshots").unwrap_or(quotas.snapshots);
                self.volumes.quotas.insert(id, quotas);
                ok(json!({"quota_set": self.volume_quota_view(call, id)}))
            }
            ("GET", ["extensions"]) => ok(json!({"extensions": []})),
            ("GET", ["resource_filters"]) => ok(json!({"resource_filters": []})),
            ("GET", ["os-availability-zone"]) => ok(json!({"availabilityZoneInfo": [
                {"zoneName": "nova", "zoneState": {"available": true}},
            ]})),
            ("GET", ["backups" | "group_snapshots", ..]) => {
                ok(json!({parts.first().copied().unwrap_or_default(): []}))
            }
            ("GET", ["qos-specs"]) => ok(json!({"qos_specs": []})),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn volume_services(&self) -> Vec<Value> {
        let host = self
            .options
            .volume_host
            .split('#')
            .next()
            .unwrap_or_default();
        let away =
            self.faults
                .is_seen_down(Component::CinderVolume, self.now, self.service_down_after());
        let row = |binary: &str, host: &str, up: bool| {
            json!({
                "binary": binary,
                "host": host,
                "zone": "nova",
                "status": "enabled",
                "state": if up { "up" } else { "down" },
                "updated_at": self.stamp_micro(self.now),
                "disabled_reason": null,
                "cluster": null,
                "replication_status": "enabled",
                "active_backend_id": null,
                "frozen": false,
                "backend_state": if up { "up" } else { "down" },
            })
        };
        vec![
            row(
                "cinder-scheduler",
                host.split('@').next().unwrap_or_default(),
                true,
            ),
            row("cinder-volume", host, !away),
        ]
    }

    pub(crate) fn volume_quotas(&self, project: Uuid) -> SimulatedQuotas {
        self.volumes
            .quotas
            .get(&project)
            .copied()
            .unwrap_or(self.options.quotas)
    }

    fn volume_quota_view(&self, call: &Call<'_>, project: Uuid) -> Value {
        let quotas = self.volume_quotas(project);
        let (volumes, gib) = self.volume_usage(project);
        if !call.flag("usage") {
            return json!({
                "id": hex(project),
                "volumes": quotas.volumes,
                "gigabytes": quotas.gigabytes,
                "snapshots": quotas.snapshots,
                "backups": -1,
                "backup_gigabytes": -1,
                "groups": -1,
                "per_volume_gigabytes": -1,
            });
        }
        let usage = |limit: i64, used: i64| json!({"limit": limit, "in_use": used, "reserved": 0});
        json!({
            "id": hex(project),
            "volumes": usage(quotas.volumes, volumes),
            "gigabytes": usage(quotas.gigabytes, gib),
            "snapshots": usage(quotas.snapshots, 0),
            "backups": usage(-1, 0),
            "backup_gigabytes": usage(-1, 0),
            "groups": usage(-1, 0),
            "per_volume_gigabytes": usage(-1, 0),
        })
    }
}

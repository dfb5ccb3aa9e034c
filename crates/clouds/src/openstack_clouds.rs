//! The clouds over HTTP.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use protector_core::{
    comparison::{Shown, ThereSeen},
    group::ReplicationType,
    id::{ProjectId, ServerId, SiteName, UserId, VolumeId},
    member::KeyPair,
    qos_policy::QosPolicy,
    readiness::{SourceSeen, TargetSeen},
    server_group::ServerGroup,
    site::{Site, SiteScope},
};
use protector_openstack::{
    cloud::Cloud,
    compute::{Compute, Server},
    error::{CallError, ErrorClass},
    identity::{Identity, User},
    network::{FloatingIp, FloatingIpFilter, Port, PortFilter},
    service::Service,
    token::Role,
};
use secrecy::SecretString;

use crate::{
    clouds::{
        CloudError, CloudReadings, Expected, FoundServer, FoundVolume, FoundVolumeType, Holdings,
        ProjectLists, ServiceFinding, SiteInspection, SiteServices, WantedThere,
    },
    found_server::{Neutron, found_server, is_of_the_image_itself, key_pair},
    holdings, site_health, site_readings,
    site_sessions::{SiteSessions, told},
    there_readings::{self, SharedNetworks},
};

/// A name that no network and no image has: asking for it shows whether a service answers, and reads next to nothing.
const NOBODY: &str = "protector-site-validation";

/// The clouds of the registered sites, over HTTP.
pub struct OpenStackClouds {
    sessions: Arc<SiteSessions>,
    shared: SharedNetworks,
}

impl OpenStackClouds {
    /// The clouds behind `sessions`.
    pub fn new(sessions: Arc<SiteSessions>) -> Self {
        Self {
            sessions,
            shared: SharedNetworks::default(),
        }
    }

    /// The same, where who chooses on shared networks is as `shared` says.
    #[must_use]
    pub fn with_shared_networks(self, shared: SharedNetworks) -> Self {
        Self { shared, ..self }
    }

    /// Nova shows a server's user data and root device to administrators only. Where even they cannot be asked, the
    /// server is taken as the tenant sees it.
    async fn see_as_admin(&self, site: &SiteName, server: &mut Server) {
        let seen = async {
            let compute = self.sessions.admin(site).await?.compute();
            found(site, compute.server(&server.id).await)
        };
        match seen.await {
            Ok(Some(whole)) if whole.project_id == server.project_id => {
                server.user_data = server.user_data.take().or(whole.user_data);
                server.root_device_name = server.root_device_name.take().or(whole.root_device_name);
                server.flavor.extra_specs.extend(whole.flavor.extra_specs);
                server.hostname = server.hostname.take().or(whole.hostname);
            }
            Ok(_) => {}
            Err(error) => tracing::info!(%error, "a server's user data cannot be read as admin"),
        }
    }

    /// A server's ports as Neutron shows them.
    async fn ports(&self, scope: &SiteScope, server: &ServerId) -> Result<Vec<Port>, CloudError> {
        let of_server = PortFilter {
            device_id: Some(server.to_string()),
            ..PortFilter::default()
        };
        let network = self.tenant(scope).await?.network();
        let ports = network.ports(&of_server).await;
        ports.map_err(|error| told(&scope.site, &error))
    }

    /// The QoS policies of `ports`. One that the tenant does not see is read by the service user, and goes without its name
    /// where that does not either.
    async fn qos_policies(
        &self,
        scope: &SiteScope,
        ports: &[Port],
        lists: &ProjectLists,
    ) -> Result<Vec<QosPolicy>, CloudError> {
        let used = ports.iter().filter_map(|port| port.qos_policy_id.as_ref());
        let used: BTreeSet<&String> = used.collect();
        if used.is_empty() {
            return Ok(Vec::new());
        }
        let network = self.tenant(scope).await?.network();
        let seen = lists.qos_policies.get_or_try_init(async || {
            match network.qos_policies().await {
                Ok(seen) => Ok(seen),
                Err(error) => match told(&scope.site, &error) {
                    // What Neutron does not tell for good costs no more than the names.
                    CloudError::Refused { .. } => Ok(Vec::new()),
                    passing => Err(passing),
                },
            }
        });
        let mut policies = seen.await?.clone();
        for id in used {
            if policies.iter().any(|policy| policy.id == *id) {
                continue;
            }
            let Ok(admin) = self.sessions.admin(&scope.site).await else {
                continue;
            };
            match admin.network().qos_policy(id).await {
                Ok(policy) => policies.push(policy),
                Err(error) => tracing::info!(id, %error, "a QoS policy cannot be read"),
            }
        }
        Ok(policies)
    }

    async fn floating_ips(&self, scope: &SiteScope) -> Result<Vec<FloatingIp>, CloudError> {
        let of_project = FloatingIpFilter {
            project_id: Some(scope.project_id.clone()),
            ..FloatingIpFilter::default()
        };
        let network = self.tenant(scope).await?.network();
        let found = network.floating_ips(&of_project).await;
        found.map_err(|error| told(&scope.site, &error))
    }

    /// The service user and the role that it has in tenants' projects.
    async fn service_member(
        &self,
        keystone: &Identity,
        site: &SiteName,
    ) -> Result<(User, Role), CloudError> {
        let username = self.sessions.username(site).await?;
        let missing = |what: &str| CloudError::Refused {
            site: site.clone(),
            why: format!("Keystone has no {what}"),
        };
        let tell = |error: CallError| told(site, &error);
        let user = keystone.find_user(&username).await.map_err(tell)?;
        let user = user.ok_or_else(|| missing(&format!("user {username}")))?;
        let role = keystone.find_role("member").await.map_err(tell)?;
        let role = role.ok_or_else(|| missing("role member"))?;
        Ok((user, role))
    }

    /// A session in the tenant's project, and the service user's own.
    async fn both(&self, scope: &SiteScope) -> Result<(Cloud, Cloud), CloudError> {
        let tenant = self.tenant(scope).await?;
        Ok((tenant, self.sessions.admin(&scope.site).await?))
    }

    async fn tenant(&self, scope: &SiteScope) -> Result<Cloud, CloudError> {
        self.sessions.tenant(&scope.site, &scope.project_id).await
    }
}

/// Tells "it is not there" from other errors.
fn found<T>(site: &SiteName, answer: Result<T, CallError>) -> Result<Option<T>, CloudError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(told(site, &error)),
    }
}

#[async_trait]
impl CloudReadings for OpenStackClouds {
    async fn server(
        &self,
        scope: &SiteScope,
        id: &ServerId,
    ) -> Result<Option<FoundServer>, CloudError> {
        self.server_of_round(scope, id, &ProjectLists::default())
            .await
    }

    async fn server_of_round(
        &self,
        scope: &SiteScope,
        id: &ServerId,
        lists: &ProjectLists,
    ) -> Result<Option<FoundServer>, CloudError> {
        let site = &scope.site;
        let compute = self.tenant(scope).await?.compute();
        let Some(mut server) = found(site, compute.server(id).await)? else {
            return Ok(None);
        };
        if server.user_data.is_none() || server.root_device_name.is_none() {
            self.see_as_admin(site, &mut server).await;
        }
        let (attachments, interfaces) =
            tokio::try_join!(compute.volume_attachments(id), compute.interfaces(id))
                .map_err(|error| told(site, &error))?;
        let flavors = lists.flavors.get_or_try_init(|| compute.flavors()).await;
        let flavor = server
            .flavor
            .known(flavors.map_err(|error| told(site, &error))?);
        let ports = self.ports(scope, id).await?;
        let network = self.tenant(scope).await?.network();
        let groups = lists
            .security_groups
            .get_or_try_init(|| network.security_groups(&scope.project_id))
            .await
            .map_err(|error| told(site, &error))?;
        let floating: &[FloatingIp] = match server.floating_ips().is_empty() {
            true => &[],
            false => {
                let floating = &lists.floating_ips;
                floating
                    .get_or_try_init(|| self.floating_ips(scope))
                    .await?
            }
        };
        let policies = self.qos_policies(scope, &ports, lists).await?;
        let neutron = Neutron {
            ports: &ports,
            groups,
            floating,
            policies: &policies,
        };
        let group = server_group(&compute, &server)
            .await
            .map_err(|error| told(site, &error))?;
        let found = found_server(server, flavor, interfaces, attachments, &neutron);
        Ok(Some(FoundServer {
            server_group: group,
            ..found
        }))
    }

    async fn volume(
        &self,
        scope: &SiteScope,
        id: &VolumeId,
    ) -> Result<Option<FoundVolume>, CloudError> {
        let volumes = self.tenant(scope).await?.volume();
        let volume = found(&scope.site, volumes.volume(id).await)?;
        Ok(volume.map(|volume| FoundVolume {
            traits: volume.traits(),
            id: volume.id,
            name: volume.name.unwrap_or_default(),
            size_gib: volume.size,
            volume_type: volume.volume_type,
            volume_type_id: volume.volume_type_id,
            metadata: volume.metadata,
            description: volume.description.filter(|text| !text.is_empty()),
            bootable: Some(volume.bootable),
            name_id: volume.name_id,
            host: volume.host,
            image_properties: volume
                .volume_image_metadata
                .into_iter()
                .filter(|(key, _)| !is_of_the_image_itself(key))
                .collect(),
        }))
    }

    async fn server_as_shown(
        &self,
        scope: &SiteScope,
        server: &ServerId,
        volumes: &[VolumeId],
    ) -> Result<Option<Shown>, CloudError> {
        let site = &scope.site;
        let tenant = self.tenant(scope).await?;
        let shown = tenant.compute().server_as_shown(server).await;
        let Some(shown) = found(site, shown)? else {
            return Ok(None);
        };
        let ports = tenant.network().ports_as_shown(server.as_str()).await;
        let cinder = tenant.volume();
        let reads = volumes.iter().map(async |id| {
            let volume = cinder.volume_as_shown(id).await;
            found(site, volume)
        });
        let volumes = try_join_all(reads).await?;
        Ok(Some(Shown {
            server: shown,
            ports: ports.map_err(|error| told(site, &error))?,
            volumes: volumes.into_iter().flatten().collect(),
        }))
    }

    async fn there_seen(&self, scope: &SiteScope, wanted: &WantedThere) -> ThereSeen {
        match self.both(scope).await {
            Ok((tenant, admin)) => {
                there_readings::there(&tenant, &admin, scope, self.shared, wanted).await
            }
            Err(error) => ThereSeen::silent(&error.into()),
        }
    }

    async fn holdings(
        &self,
        scope: &SiteScope,
        expected: &[Expected],
    ) -> Result<Holdings, CloudError> {
        holdings::read(&self.tenant(scope).await?, scope, expected).await
    }

    async fn source_seen(&self, scope: &SiteScope, kind: ReplicationType) -> SourceSeen {
        match self.both(scope).await {
            Ok((tenant, admin)) => site_readings::source(&tenant, &admin, scope, kind).await,
            Err(error) => SourceSeen::silent(&error.into()),
        }
    }

    async fn target_seen(&self, scope: &SiteScope, kind: ReplicationType) -> TargetSeen {
        match self.both(scope).await {
            Ok((tenant, admin)) => site_readings::target(&tenant, &admin, scope, kind).await,
            Err(error) => TargetSeen::silent(&error.into()),
        }
    }

    async fn services(&self, site: &SiteName) -> SiteServices {
        match self.sessions.admin(site).await {
            Ok(cloud) => site_health::services(&cloud).await,
            Err(error) => SiteServices::silent(&error.into()),
        }
    }

    async fn key_pair(
        &self,
        site: &SiteName,
        owner: &UserId,
        name: &str,
        token: Option<&SecretString>,
    ) -> Result<Option<KeyPair>, CloudError> {
        let cloud = self.sessions.admin(site).await?;
        let shown = cloud.compute().keypair_of(owner, name).await;
        let (Err(refused), Some(token)) = (&shown, token) else {
            return Ok(found(site, shown)?.map(key_pair));
        };
        if refused.class() != ErrorClass::Forbidden {
            return Ok(found(site, shown)?.map(key_pair));
        }
        let tell = |error: CallError| told(site, &error);
        let info = cloud.identity().validate_token(token).await.map_err(tell)?;
        let session = cloud
            .session()
            .acting_as(
                token.clone(),
                info.catalog.unwrap_or_default(),
                info.project.map(|project| project.id),
            )
            .map_err(tell)?;
        let pair = Cloud::new(session).compute().keypair(name).await;
        Ok(found(site, pair)?.map(key_pair))
    }

    async fn volume_types(&self, site: &SiteName) -> Result<Vec<FoundVolumeType>, CloudError> {
        let volumes = self.sessions.admin(site).await?.volume();
        let types = volumes.types().await.map_err(|error| told(site, &error))?;
        Ok(types
            .into_iter()
            .map(|found| FoundVolumeType {
                id: found.id.to_string(),
                name: found.name,
                extra_specs: found.extra_specs,
            })
            .collect())
    }

    async fn may_manage(&self, scope: &SiteScope) -> Result<bool, CloudError> {
        let volumes = self.tenant(scope).await?.volume();
        let answer = volumes.may_manage().await;
        answer.map_err(|error| told(&scope.site, &error))
    }

    async fn service_user(&self, site: &SiteName) -> Result<UserId, CloudError> {
        let cloud = self.sessions.admin(site).await?;
        let user = cloud.session().user_id().await;
        user.map_err(|error| told(site, &error))
    }

    async fn project_exists(
        &self,
        site: &SiteName,
        project: &ProjectId,
    ) -> Result<bool, CloudError> {
        let keystone = self.sessions.admin(site).await?.identity();
        Ok(found(site, keystone.project(project).await)?.is_some())
    }

    async fn grant_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError> {
        let keystone = self.sessions.admin(site).await?.identity();
        let (user, role) = self.service_member(&keystone, site).await?;
        let granted = keystone.grant_role(project, &user.id, &role.id).await;
        granted.map_err(|error| told(site, &error))
    }

    async fn revoke_member(&self, site: &SiteName, project: &ProjectId) -> Result<(), CloudError> {
        let keystone = self.sessions.admin(site).await?.identity();
        let (user, role) = self.service_member(&keystone, site).await?;
        let revoked = keystone.revoke_role(project, &user.id, &role.id).await;
        found(site, revoked).map(|_| ())
    }

    async fn inspect(
        &self,
        site: &Site,
        password: &SecretString,
    ) -> Result<SiteInspection, CloudError> {
        let cloud = self.sessions.cloud_of(site, password, None)?;
        cloud
            .session()
            .catalog()
            .await
            .map_err(|error| told(&site.name, &error))?;
        let (roles, compute, volume, network, image) = tokio::join!(
            roles(&cloud, site),
            versioned(&cloud, Service::Compute),
            versioned(&cloud, Service::Volume),
            network(&cloud),
            image(&cloud),
        );
        Ok(SiteInspection {
            roles: roles?,
            compute,
            volume,
            network,
            image,
        })
    }

    /// Sessions are kept by login and password: a changed registration does not find the old one.
    async fn forget(&self, _site: &SiteName) {}
}

/// The server's group; `None` also for one that is gone meanwhile.
async fn server_group(
    compute: &Compute,
    server: &Server,
) -> Result<Option<ServerGroup>, CallError> {
    let Some(id) = server.server_groups.first() else {
        return Ok(None);
    };
    match compute.server_group(id).await {
        Ok(group) => Ok(Some(group.known())),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service user counts as admin where it may do what only an admin may: look for a user.
async fn roles(cloud: &Cloud, site: &Site) -> Result<Vec<String>, CloudError> {
    match cloud.identity().find_user(&site.username).await {
        Ok(_) => Ok(vec!["admin".to_owned()]),
        Err(error) if error.class() == ErrorClass::Forbidden => Ok(Vec::new()),
        Err(error) => Err(told(&site.name, &error)),
    }
}

async fn versioned(cloud: &Cloud, service: Service) -> ServiceFinding {
    let asked = async {
        let url = cloud.session().endpoint(service).await?;
        let newest = cloud.session().newest_microversion(service).await?;
        Ok((
            url,
            Some((u32::from(newest.major), u32::from(newest.minor))),
        ))
    };
    finding(asked.await)
}

async fn network(cloud: &Cloud) -> ServiceFinding {
    let asked = async {
        let url = cloud.session().endpoint(Service::Network).await?;
        cloud.network().networks(Some(NOBODY)).await?;
        Ok((url, None))
    };
    finding(asked.await)
}

async fn image(cloud: &Cloud) -> ServiceFinding {
    let asked = async {
        let url = cloud.session().endpoint(Service::Image).await?;
        cloud.image().images(Some(NOBODY)).await?;
        Ok((url, None))
    };
    finding(asked.await)
}

fn finding(asked: Result<(String, Option<(u32, u32)>), CallError>) -> ServiceFinding {
    match asked {
        Ok((url, newest)) => ServiceFinding::Answers { newest, url },
        Err(CallError::NoEndpoint { .. }) => ServiceFinding::NotInCatalog,
        Err(error) => ServiceFinding::Silent {
            why: error.to_string(),
        },
    }
}

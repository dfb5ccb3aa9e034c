//! What a 404 proves.

/// What was read, with the token that got a 404, of things that are known to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownThere<'a> {
    /// The project that the resource is recorded in; `None` where the token is an administrator's and sees all.
    pub recorded_project: Option<&'a str>,
    /// The project that the token is for.
    pub token_project: &'a str,
    /// Whether the service that said 404 answered a question about that project (its quota): the path is right, and the
    /// token is good there.
    pub service_answers: bool,
    /// A network that the plan names, and whether the region's Neutron knows it, or any other that the plan names; `None` if the
    /// plan names none.
    pub network: Option<(&'a str, bool)>,
}

/// Why a 404 must not be taken for "it is gone": the token may be for another project, the catalogue may lead to another
/// region. `None` if the scope has proved itself.
///
/// The proof: the token's project is the recorded one; the service that said 404 answers for it; and the same catalogue
/// leads to a network that the plan names, whose id no other region has. All regions of a catalogue entry are chosen by
/// the same name, so that one such network stands for all services.
pub fn absence_proves_nothing(scope: &KnownThere<'_>) -> Option<String> {
    token_is_for_another_project(scope)
        .or_else(|| service_does_not_answer(scope))
        .or_else(|| region_is_another(scope))
}

fn token_is_for_another_project(scope: &KnownThere<'_>) -> Option<String> {
    let recorded = scope.recorded_project?;
    (recorded != scope.token_project).then(|| {
        format!(
            "kept: its cloud says 404, but to a token of project {} instead of {recorded}; correct the tenant mapping, then run cleanup again",
            scope.token_project
        )
    })
}

fn service_does_not_answer(scope: &KnownThere<'_>) -> Option<String> {
    (!scope.service_answers).then(|| {
        "kept: its cloud says 404, but also to a question about the project's own quota; correct the site's catalogue, then run cleanup again"
            .to_owned()
    })
}

fn region_is_another(scope: &KnownThere<'_>) -> Option<String> {
    let (network, known) = scope.network?;
    (!known).then(|| {
        format!(
            "kept: its cloud says 404, but also to network {network}, which the group uses there: the catalogue may lead to another region; see that the site's region is right, then run cleanup again; if that network was deleted, first map another one with 'openstack dr protection-group set --network-mapping'"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proved() -> KnownThere<'static> {
        KnownThere {
            recorded_project: Some("p"),
            token_project: "p",
            service_answers: true,
            network: Some(("net", true)),
        }
    }

    #[test]
    fn a_404_counts_only_with_a_scope_that_proved_itself() {
        assert_eq!(absence_proves_nothing(&proved()), None);
        let admin = KnownThere {
            recorded_project: None,
            token_project: "service",
            ..proved()
        };
        assert_eq!(absence_proves_nothing(&admin), None);
    }

    #[test]
    fn a_404_to_a_token_of_another_project_proves_nothing() {
        let scope = KnownThere {
            token_project: "q",
            ..proved()
        };
        assert!(
            absence_proves_nothing(&scope)
                .unwrap()
                .contains("project q")
        );
    }

    #[test]
    fn a_404_of_a_service_that_does_not_answer_proves_nothing() {
        let scope = KnownThere {
            service_answers: false,
            ..proved()
        };
        assert!(absence_proves_nothing(&scope).unwrap().contains("quota"));
    }

    #[test]
    fn a_404_of_another_region_proves_nothing() {
        let scope = KnownThere {
            network: Some(("net", false)),
            ..proved()
        };
        assert!(absence_proves_nothing(&scope).unwrap().contains("region"));
    }
}

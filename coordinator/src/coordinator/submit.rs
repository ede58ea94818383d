//! Submissions that are refused before they are on record.

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::job::{JobSpec, Policy};
use airlift_protocol::location::Location;

use super::Coordinator;

impl Coordinator {
    /// Whether `spec` can become a job.
    ///
    /// # Errors
    /// When its paths are on no node that there is, or it runs already and does something else.
    pub(super) fn check_submission(&self, spec: &JobSpec) -> Result<(), Failure> {
        self.check_locations(spec)?;
        self.check_options(spec)
    }

    /// A job's paths are on nodes that there are.
    fn check_locations(&self, spec: &JobSpec) -> Result<(), Failure> {
        let Some(cluster) = &self.state.cluster else { return Ok(()) };
        for location in [&spec.source, &spec.target] {
            let text = match location {
                Location::Node { node, .. } if cluster.named(node).is_none() => {
                    format!("{location}: no node of this cluster is named {node}")
                }
                Location::Path(_) => {
                    format!("{location}: say on which node that is, as in NODE:/path")
                }
                Location::Node { .. } | Location::Bucket { .. } => continue,
            };
            return Err(Failure::new(ErrorCode::LocationMissing, text));
        }
        Ok(())
    }

    /// Who submits a job of the cluster that has not ended watches it, and would take it for one with the
    /// options that were given now: that it keeps to a filter, or deletes no more than it may. A budget is
    /// another matter: it is the job's from then on.
    fn check_options(&self, spec: &JobSpec) -> Result<(), Failure> {
        let id = spec.id();
        let job = self.state.jobs.get(&id).filter(|job| job.is_running());
        let Some(job) = job.filter(|job| self.state.cluster.is_some() && !job.is_being_cancelled())
        else {
            return Ok(());
        };
        let differing = differing(&job.spec, spec);
        if differing.is_empty() {
            return Ok(());
        }
        let text = format!(
            "job {id} has not ended, and was begun with other options ({}): wait for its end, cancel it, or submit \
             it as it was begun",
            differing.join(", ")
        );
        Err(Failure::new(ErrorCode::Conflict, text))
    }
}

/// What two specifications of one job differ in, the budget aside.
fn differing(one: &JobSpec, other: &JobSpec) -> Vec<&'static str> {
    // All of them are named, so that a new one has to find its place here.
    let Policy {
        comparison,
        links,
        verify,
        dry_run: _, // such a job has an id of its own
        allow_empty_source,
        max_delete,
        bandwidth,
        priority,
        tags,
        class,
        keys,
        inventory,
        server_side,
        acl,
        restore,
        budget: _,
    } = &one.policy;
    let policy = &other.policy;
    let options = [
        ("filters", one.filters == other.filters),
        ("comparison", *comparison == policy.comparison),
        ("links", *links == policy.links),
        ("verification", *verify == policy.verify),
        ("an empty source", *allow_empty_source == policy.allow_empty_source),
        ("deletions", *max_delete == policy.max_delete),
        ("bandwidth", *bandwidth == policy.bandwidth),
        ("priority", *priority == policy.priority),
        ("tags", *tags == policy.tags),
        ("storage class", *class == policy.class),
        ("keys", *keys == policy.keys),
        ("inventory", *inventory == policy.inventory),
        ("server-side copies", *server_side == policy.server_side),
        ("access control", *acl == policy.acl),
        ("restoring", *restore == policy.restore),
    ];
    options.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

//! Everything that can be asked of a node by HTTP: method, path, what it needs and what is answered. The
//! router is made from this list, and so is its description; neither can have what the other lacks.

use super::error::ApiCode;
use super::openapi::schema::{self, Shape};
use super::service::Permission;

/// One thing that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// All jobs.
    ListJobs,
    /// A job is to be done.
    SubmitJob,
    /// One job.
    ShowJob,
    /// A job is to rest.
    PauseJob,
    /// A job is to go on.
    ResumeJob,
    /// A job is to end.
    CancelJob,
    /// A job gets another budget.
    BudgetJob,
    /// What became of a job's objects.
    ReportJob,
    /// The cluster.
    ShowCluster,
    /// A token by which a node may join.
    CreateToken,
    /// A node is to leave.
    RemoveNode,
    /// Another node is to lead.
    TransferLeader,
    /// All jobs together are to keep to a bandwidth.
    LimitCluster,
    /// So much is kept of jobs that have ended.
    RetainJobs,
    /// The tokens that open the API.
    ListApiTokens,
    /// A token is to open the API.
    CreateApiToken,
    /// A token is to open nothing any more.
    RevokeApiToken,
    /// Another token is to be the root token.
    ReplaceRootToken,
    /// Who changed what.
    ShowAudit,
    /// What the node that is asked has done.
    ShowNode,
    /// What every node says of itself.
    ShowNodes,
    /// What changes, as it changes.
    WatchEvents,
    /// This list.
    DescribeApi,
    /// Figures for monitoring.
    ShowMetrics,
    /// Whether the node answers.
    CheckHealth,
    /// Whether the node hears a leader.
    CheckReady,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// It reads.
    Get,
    /// It orders something.
    Post,
    /// It removes something.
    Delete,
}

impl Method {
    /// As a description has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// Of what an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Of jobs and the cluster: a token that is limited to locations sees its own part of it.
    Own,
    /// Of everything: such a token does not open it.
    Everything,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// Behind the path.
    Query,
    /// Among the headers.
    Header,
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub text: &'static str,
    /// What it looks like.
    pub shape: Shape,
}

/// What an answer, or the body of a request, consists of.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// JSON of this form.
    Json(Shape),
    /// Lines, each of which is JSON.
    Lines,
    /// Server-sent events.
    Events,
    /// Text for Prometheus.
    Metrics,
}

/// What there is to say about an operation.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: &'static str,
    /// What a token must allow; `None` when none is needed.
    pub needs: Option<Permission>,
    /// Of what it tells.
    pub sight: Sight,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// The body of its request.
    pub body: Option<Shape>,
    /// Its answer.
    pub answer: Content,
    /// What it may be refused with, beside what any request may be.
    pub refusals: &'static [ApiCode],
}

const JOB: Parameter = Parameter {
    name: "job",
    place: Place::Path,
    text: "The id of the job: 32 hexadecimal digits.",
    shape: schema::job_id,
};

const KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    text: "The client's word for this very submission, such as a UUID: sent again, it begins nothing.",
    shape: schema::key,
};

const NODE: Parameter = Parameter {
    name: "node",
    place: Place::Path,
    text: "Name or id of the node.",
    shape: schema::text,
};

const FROM: Parameter = Parameter {
    name: "from",
    place: Place::Query,
    text: "The first line that is wanted, counted from 0.",
    shape: schema::number,
};

const API_TOKEN: Parameter = Parameter {
    name: "token",
    place: Place::Path,
    text: "Name or id of the API token.",
    shape: schema::text,
};

const FIRST: Parameter = Parameter {
    name: "from",
    place: Place::Query,
    text: "Number of the first entry that is wanted; they are counted from 1.",
    shape: schema::number,
};

const WATCHED: Parameter = Parameter {
    name: "job",
    place: Place::Query,
    text: "A job to be sent in full.",
    shape: schema::job_id,
};

impl Operation {
    /// Every operation, in the order in which they are described.
    pub const ALL: [Self; 26] = [
        Self::ListJobs,
        Self::SubmitJob,
        Self::ShowJob,
        Self::PauseJob,
        Self::ResumeJob,
        Self::CancelJob,
        Self::BudgetJob,
        Self::ReportJob,
        Self::ShowCluster,
        Self::CreateToken,
        Self::RemoveNode,
        Self::TransferLeader,
        Self::LimitCluster,
        Self::RetainJobs,
        Self::ListApiTokens,
        Self::CreateApiToken,
        Self::RevokeApiToken,
        Self::ReplaceRootToken,
        Self::ShowAudit,
        Self::ShowNode,
        Self::ShowNodes,
        Self::WatchEvents,
        Self::DescribeApi,
        Self::ShowMetrics,
        Self::CheckHealth,
        Self::CheckReady,
    ];

    /// Its name in the description.
    pub fn id(self) -> String {
        let mut name = format!("{self:?}");
        name[..1].make_ascii_lowercase();
        name
    }

    /// What there is to say about it.
    pub fn about(self) -> About {
        match self {
            Self::ListJobs
            | Self::SubmitJob
            | Self::ShowJob
            | Self::PauseJob
            | Self::ResumeJob
            | Self::CancelJob
            | Self::BudgetJob
            | Self::ReportJob => self.about_jobs(),
            Self::ShowCluster
            | Self::CreateToken
            | Self::RemoveNode
            | Self::TransferLeader
            | Self::LimitCluster
            | Self::RetainJobs => self.about_cluster(),
            Self::ListApiTokens
            | Self::CreateApiToken
            | Self::RevokeApiToken
            | Self::ReplaceRootToken
            | Self::ShowAudit => self.about_access(),
            Self::ShowNode
            | Self::ShowNodes
            | Self::WatchEvents
            | Self::DescribeApi
            | Self::ShowMetrics
            | Self::CheckHealth
            | Self::CheckReady => self.about_node(),
        }
    }

    fn about_jobs(self) -> About {
        use ApiCode::{Conflict, Invalid, NotFound, TooLarge};
        let order = |path, summary| About {
            parameters: &[JOB],
            refusals: &[Invalid, NotFound, Conflict],
            ..About::order(Method::Post, path, Permission::Operate, summary, schema::job)
        };
        match self {
            Self::SubmitJob => About {
                parameters: &[KEY],
                body: Some(schema::submission),
                refusals: &[Invalid, NotFound, Conflict, TooLarge],
                ..About::order(
                    Method::Post,
                    "/api/v1/jobs",
                    Permission::Operate,
                    "Submit a job; submitted again, it is the same job",
                    schema::submitted,
                )
            },
            Self::ShowJob => About {
                parameters: &[JOB],
                refusals: &[Invalid, NotFound],
                ..About::read("/api/v1/jobs/{job}", "One job in full", Content::Json(schema::job))
            },
            Self::PauseJob => order("/api/v1/jobs/{job}/pause", "Let a job rest"),
            Self::ResumeJob => order("/api/v1/jobs/{job}/resume", "Let a job go on"),
            Self::CancelJob => order("/api/v1/jobs/{job}/cancel", "End a job where it is"),
            Self::BudgetJob => About {
                body: Some(schema::budget_request),
                refusals: &[Invalid, NotFound, Conflict, TooLarge],
                ..order("/api/v1/jobs/{job}/budget", "Change what a job may use")
            },
            Self::ReportJob => About {
                parameters: &[JOB, FROM],
                refusals: &[Invalid, NotFound],
                ..About::read(
                    "/api/v1/jobs/{job}/report",
                    "What became of each object of a job's last run",
                    Content::Lines,
                )
            },
            _ => About::read("/api/v1/jobs", "All jobs, newest first", Content::Json(schema::jobs)),
        }
    }

    fn about_cluster(self) -> About {
        use ApiCode::{Conflict, Invalid, NotFound, TooLarge};
        let order = |method, path, summary, answer| {
            About::order(method, path, Permission::Administer, summary, answer)
        };
        match self {
            Self::CreateToken => About {
                body: Some(schema::token_request),
                refusals: &[Invalid, Conflict, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/cluster/tokens",
                    "Make a token by which one node may join",
                    schema::join_token,
                )
            },
            Self::RemoveNode => About {
                parameters: &[NODE],
                refusals: &[Invalid, NotFound, Conflict],
                ..order(
                    Method::Delete,
                    "/api/v1/cluster/nodes/{node}",
                    "Remove a node for good",
                    schema::cluster,
                )
            },
            Self::TransferLeader => About {
                body: Some(schema::leader_request),
                refusals: &[Invalid, NotFound, Conflict, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/cluster/leader",
                    "Let another voter lead",
                    schema::cluster,
                )
            },
            Self::LimitCluster => About {
                body: Some(schema::limit_request),
                refusals: &[Invalid, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/cluster/limit",
                    "Limit what all jobs together move, or lift that limit",
                    schema::cluster,
                )
            },
            Self::RetainJobs => About {
                body: Some(schema::retention_request),
                refusals: &[Invalid, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/cluster/retention",
                    "Say how long finished jobs are kept",
                    schema::cluster,
                )
            },
            _ => About::read(
                "/api/v1/cluster",
                "Leader, term, quorum and nodes; without a leader, what the node knew last",
                Content::Json(schema::cluster),
            ),
        }
    }

    fn about_access(self) -> About {
        use ApiCode::{Conflict, Invalid, NotFound, TooLarge};
        let order = |method, path, summary, answer| {
            About::order(method, path, Permission::Administer, summary, answer)
        };
        match self {
            Self::CreateApiToken => About {
                body: Some(schema::api_token_request),
                refusals: &[Invalid, Conflict, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/tokens",
                    "Make a token that opens this API; it is told once",
                    schema::created_api_token,
                )
            },
            Self::RevokeApiToken => About {
                parameters: &[API_TOKEN],
                refusals: &[Invalid, NotFound],
                ..order(
                    Method::Delete,
                    "/api/v1/tokens/{token}",
                    "Revoke a token of this API, at once and everywhere",
                    schema::api_tokens,
                )
            },
            Self::ReplaceRootToken => About {
                body: Some(schema::root_token_request),
                refusals: &[Invalid, TooLarge],
                ..order(
                    Method::Post,
                    "/api/v1/cluster/root-token",
                    "Put another root token in force; the present one opens nothing any more",
                    schema::root_token_request,
                )
            },
            Self::ShowAudit => About {
                parameters: &[FIRST],
                refusals: &[Invalid],
                sight: Sight::Everything,
                ..About::read(
                    "/api/v1/audit",
                    "Who changed what, as a chain of hashes; at most 1,000 entries",
                    Content::Json(schema::audit),
                )
            },
            _ => order(
                Method::Get,
                "/api/v1/tokens",
                "The tokens of this API, without their secrets",
                schema::api_tokens,
            ),
        }
    }

    fn about_node(self) -> About {
        use ApiCode::Invalid;
        let open = |path, summary, answer| About {
            needs: None,
            ..About::read(path, summary, Content::Json(answer))
        };
        match self {
            Self::ShowNodes => About {
                sight: Sight::Everything,
                ..About::read(
                    "/api/v1/nodes",
                    "What every node says of itself, asked by this one: its build, and what room it has",
                    Content::Json(schema::survey),
                )
            },
            Self::WatchEvents => About {
                parameters: &[WATCHED],
                refusals: &[Invalid],
                ..About::read(
                    "/api/v1/events",
                    "The jobs and the cluster, sent again whenever they have changed",
                    Content::Events,
                )
            },
            Self::DescribeApi => {
                open("/api/v1/openapi.json", "This description of the API", schema::anything)
            }
            Self::ShowMetrics => About {
                sight: Sight::Everything,
                ..About::read("/metrics", "Figures as text for Prometheus", Content::Metrics)
            },
            Self::CheckHealth => open("/healthz", "Whether the node answers", schema::health),
            Self::CheckReady => open("/readyz", "Whether the node hears a leader", schema::health),
            _ => About {
                sight: Sight::Everything,
                ..About::read(
                    "/api/v1/node",
                    "What the node that is asked has done since it started",
                    Content::Json(schema::node),
                )
            },
        }
    }
}

impl About {
    fn read(path: &'static str, summary: &'static str, answer: Content) -> Self {
        Self {
            method: Method::Get,
            path,
            needs: Some(Permission::Read),
            sight: Sight::Own,
            summary,
            parameters: &[],
            body: None,
            answer,
            refusals: &[],
        }
    }

    fn order(
        method: Method,
        path: &'static str,
        needs: Permission,
        summary: &'static str,
        answer: Shape,
    ) -> Self {
        let needs = Some(needs);
        Self { method, needs, ..Self::read(path, summary, Content::Json(answer)) }
    }
}

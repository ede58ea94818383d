//! Tells webhooks what has happened to jobs, while this node leads.
//!
//! What is to be told waits in the replicated state. Each webhook is told in order, at its own pace; when all
//! of them have been told, or have not answered for too long, the state lets go of it. A new leader begins
//! with whatever still waits: some of it may be told twice, with the same id, and nothing is left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Happening, Notice};
use airlift_coordinator::{Coordinator, Request};
use airlift_protocol::cluster::ClusterId;
use airlift_protocol::error::Failure;
use futures::future::join_all;

use super::ask::{Asker, Gone};
use super::service::summary_of;
use crate::api::view::utc;
use crate::metrics::snapshot::WebhookFigures;
use crate::runtime::clock;
use crate::webhook::message::{Message, reason};
use crate::webhook::sender::{Patience, Sender, pause_before};
use crate::webhook::{Kind, Webhook};

/// Time between two looks at what waits.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// One webhook, and how far it has been told.
#[derive(Debug)]
struct Told {
    sender: Sender,
    /// The number of the last event that it was told, or that is not told any more.
    through: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// What the courier counts. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deliveries(Arc<Vec<Told>>);

impl Deliveries {
    /// Nothing is told to any of `webhooks` yet.
    ///
    /// # Errors
    /// When the system lacks what is needed to tell them anything.
    pub(crate) fn new(webhooks: Vec<Webhook>) -> Result<Self, String> {
        let none = AtomicU64::default;
        let told = webhooks.into_iter().map(|webhook| {
            Ok::<_, String>(Told {
                sender: Sender::new(webhook)?,
                through: none(),
                delivered: none(),
                failed: none(),
                given_up: none(),
            })
        });
        Ok(Self(Arc::new(told.collect::<Result<_, _>>()?)))
    }

    /// The counts of each webhook since the process started.
    pub(crate) fn figures(&self) -> Vec<WebhookFigures> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let figures = self.0.iter().map(|told| WebhookFigures {
            name: told.webhook().name.clone(),
            delivered: read(&told.delivered),
            failed: read(&told.failed),
            given_up: read(&told.given_up),
        });
        figures.collect()
    }
}

impl Told {
    fn webhook(&self) -> &Webhook {
        self.sender.webhook()
    }
}

/// Tells webhooks.
pub(crate) struct Courier {
    cluster: ClusterId,
    asker: Asker,
    deliveries: Deliveries,
}

/// An event that waits.
struct Waiting {
    number: u64,
    kind: Kind,
    message: Message,
}

impl Courier {
    pub(crate) fn new(cluster: ClusterId, asker: Asker, deliveries: Deliveries) -> Self {
        Self { cluster, asker, deliveries }
    }

    /// Goes on until the node stops.
    pub(crate) async fn run(&self) {
        if self.deliveries.0.is_empty() {
            return;
        }
        let tell = join_all(self.deliveries.0.iter().map(|told| self.tell(told)));
        // Whoever finds the driver gone first ends it for all.
        tokio::select! {
            _ = tell => {}
            Gone = self.settle() => {}
        }
    }

    /// Tells one webhook what waits, one event after the other.
    async fn tell(&self, told: &Told) -> Gone {
        loop {
            let after = told.through.load(Ordering::Relaxed);
            let cluster = self.cluster;
            let next = self.look(move |leading| next(leading, cluster, after)).await;
            match next {
                Err(gone) => return gone,
                Ok(None) => tokio::time::sleep(LOOK_PERIOD).await,
                Ok(Some(waiting)) => {
                    let is_wanted = told.webhook().kinds.contains(&waiting.kind);
                    if !is_wanted || self.deliver(told, &waiting).await {
                        told.through.fetch_max(waiting.number, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Looks at the control plane, where this node leads.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Coordinator) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Gone> {
        let looked = self.asker.look(move |sight| {
            sight.coordinator.filter(|coordinator| coordinator.is_deciding()).and_then(look)
        });
        looked.await
    }

    /// Tries until the webhook has the event, or has not taken it for an hour, or it waits no longer; whether
    /// this node is through with it.
    async fn deliver(&self, told: &Told, waiting: &Waiting) -> bool {
        let mut patience = Patience::default();
        let (number, name, id) = (waiting.number, &told.webhook().name, &waiting.message.id);
        for attempt in 1.. {
            tokio::time::sleep(pause_before(attempt)).await;
            match self.look(move |leading| Some(waits(leading, number))).await {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    told.given_up.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(webhook = %name, event = %id, attempt, "an event has waited too long, and is given up");
                    return true;
                }
                // Another leader tells it as well.
                Ok(None) | Err(Gone) => return false,
            }
            let Err(error) = told.sender.send(&waiting.message).await else {
                told.delivered.fetch_add(1, Ordering::Relaxed);
                return true;
            };
            told.failed.fetch_add(1, Ordering::Relaxed);
            if patience.is_over(&error, clock::wall()) {
                told.given_up.fetch_add(1, Ordering::Relaxed);
                tracing::error!(webhook = %name, event = %id, attempt, %error, "an event is given up");
                return true;
            }
            tracing::warn!(webhook = %name, event = %id, attempt, %error, "an event was not delivered");
        }
        true
    }

    /// Has the state let go of what all webhooks were told.
    async fn settle(&self) -> Gone {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            let told = self.deliveries.0.iter().map(|told| told.through.load(Ordering::Relaxed));
            let through = told.min().unwrap_or_default();
            let oldest = self.look(|leading| leading.state().outbox.after(0).next().map(|it| it.0));
            match oldest.await {
                Err(gone) => return gone,
                Ok(Some(oldest)) if oldest <= through => {
                    // Whatever comes of it: what still waits is looked at again.
                    if let Err(gone) = self.asker.request(Request::Told(through), Actor::Root).await
                    {
                        return gone;
                    }
                }
                Ok(_) => {}
            }
        }
    }
}

/// Whether event `number` still waits: what is a day old, or has too many behind it, is dropped.
fn waits(leading: &Coordinator, number: u64) -> bool {
    let first = leading.state().outbox.after(number.saturating_sub(1)).next();
    first.is_some_and(|(first, _)| first == number)
}

/// The first event behind number `after`.
fn next(leading: &Coordinator, cluster: ClusterId, after: u64) -> Option<Waiting> {
    let (number, notice) = leading.state().outbox.after(after).next()?;
    let (kind, failure) = kind(&notice.what);
    let Notice { job, run, at, .. } = notice;
    let message = Message {
        id: format!("{cluster}-{number}"),
        event: kind.as_str(),
        cluster: cluster.to_string(),
        job_id: job.to_string(),
        run: *run,
        at: utc(*at),
        reason: failure.map(reason),
        job: summary_of(leading, *job, clock::wall()),
    };
    Some(Waiting { number, kind, message })
}

fn kind(what: &Happening) -> (Kind, Option<&Failure>) {
    match what {
        Happening::Submitted => (Kind::Submitted, None),
        Happening::Started => (Kind::Started, None),
        Happening::Paused(why) => (Kind::Paused, why.as_ref()),
        Happening::Resumed => (Kind::Resumed, None),
        Happening::Completed => (Kind::Completed, None),
        Happening::Failed(why) => (Kind::Failed, Some(why)),
        Happening::Cancelled => (Kind::Cancelled, None),
    }
}

//! Changes of who takes part, and of who leads.

use airlift_protocol::limits::RAFT_MEMBERS_MAX;
use airlift_protocol::raft::{MembershipChange, RaftId};
use thiserror::Error;

use super::{Consensus, NotLeader, convert};

/// Entries that a learner may be behind when it is promoted. As a voter it counts at once, and
/// nothing is committed while a majority waits for it.
const PROMOTE_LAG_MAX: u64 = 1024;

/// Why the membership does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// Another member has to be asked.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Another change is under way, or the leader is new: try later.
    #[error("another change of membership is under way")]
    Pending,
    /// Too much is waiting for the majority: try later.
    #[error("too much is waiting for the majority")]
    Congested,
    /// The learner has to catch up first.
    #[error("member {} is too far behind to vote", .0.0)]
    Behind(RaftId),
    /// It takes part already, or not at all, or its number cannot be.
    #[error("member {} cannot be changed in this way", .0.0)]
    Mismatch(RaftId),
    /// There is no place for another member.
    #[error("there are {RAFT_MEMBERS_MAX} members already")]
    Full,
    /// The leader does not remove itself: it hands over the lead first.
    #[error("the leader has to hand over before it is removed")]
    Leads,
    /// The leader's consensus does this by itself.
    #[error("the joint configuration is left without being asked")]
    Automatic,
}

/// Why the lead is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Another member has to be asked.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Only a voter can lead.
    #[error("member {} is no other voter", .0.0)]
    NotAVoter(RaftId),
    /// It does not know the present membership yet: try later.
    #[error("member {} does not know the membership yet", .0.0)]
    Behind(RaftId),
    /// No other voter is left to take it.
    #[error("there is no other voter")]
    Nobody,
}

impl Consensus {
    /// Proposes a change of who takes part. One at a time; it is in effect when `poll_committed`
    /// hands it out, and complete when the configuration is no longer joint.
    ///
    /// # Errors
    /// When this member does not lead, when a change is under way, or when the change makes no
    /// sense now.
    pub fn change_membership(&mut self, change: MembershipChange) -> Result<(), MembershipError> {
        self.leads()?;
        if self.raw.raft.has_pending_conf() || self.configuration.is_joint() {
            return Err(MembershipError::Pending);
        }
        self.check_change(change)?;
        let context = convert::change_context(change);
        let result = self.raw.propose_conf_change(context, convert::to_change(change));
        self.settle();
        result.map_err(|_| MembershipError::Congested)
    }

    /// Hands the lead over to `id`, if that is quickly possible.
    ///
    /// # Errors
    /// When this member does not lead, or `id` could not.
    pub fn transfer_to(&mut self, id: RaftId) -> Result<(), TransferError> {
        self.leads()?;
        if id == self.id || !self.configuration.is_voter(id) {
            return Err(TransferError::NotAVoter(id));
        }
        let known = self.raw.raft.prs().get(id.0).map_or(0, |progress| progress.committed_index);
        if known < self.configured_committed {
            return Err(TransferError::Behind(id));
        }
        self.raw.transfer_leader(id.0);
        self.settle();
        Ok(())
    }

    fn check_change(&self, change: MembershipChange) -> Result<(), MembershipError> {
        let configuration = &self.configuration;
        match change {
            MembershipChange::AddLearner(id) if id.0 == 0 || configuration.contains(id) => {
                Err(MembershipError::Mismatch(id))
            }
            MembershipChange::AddLearner(_) => {
                let is_full = configuration.members().len() >= RAFT_MEMBERS_MAX;
                if is_full { Err(MembershipError::Full) } else { Ok(()) }
            }
            MembershipChange::Promote(id) if !configuration.learners.contains(&id) => {
                Err(MembershipError::Mismatch(id))
            }
            MembershipChange::Promote(id) => {
                let raft = &self.raw.raft;
                let matched = raft.prs().get(id.0).map_or(0, |progress| progress.matched);
                let is_behind = matched + PROMOTE_LAG_MAX < raft.raft_log.committed || matched == 0;
                if is_behind { Err(MembershipError::Behind(id)) } else { Ok(()) }
            }
            MembershipChange::Remove(id) if id == self.id => Err(MembershipError::Leads),
            MembershipChange::Remove(id) if !configuration.contains(id) => {
                Err(MembershipError::Mismatch(id))
            }
            MembershipChange::Remove(_) => Ok(()),
            MembershipChange::LeaveJoint => Err(MembershipError::Automatic),
        }
    }
}

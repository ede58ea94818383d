//! Reads that must not be stale: answered when a majority has confirmed, after they were asked, that
//! this node still leads.
//!
//! All reads that come while the majority is being asked share the next question. A question is a
//! round of heartbeats: nothing is written.

use super::Coordinator;
use crate::effect::{Answer, Effect};
use crate::input::RequestId;

/// Reads that wait for the majority.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Those that are not part of a question yet.
    waiting: Vec<RequestId>,
    /// The question that is under way.
    asked: Option<Question>,
    /// The number of the last question.
    last: u64,
}

#[derive(Debug)]
struct Question {
    number: u64,
    /// The term in which it was asked: whoever has led in another one since has forgotten it.
    term: u64,
    requests: Vec<RequestId>,
}

impl Reads {
    /// Takes in a read.
    pub(super) fn wait(&mut self, id: RequestId) {
        self.waiting.push(id);
    }

    fn take_lost(&mut self, term: Option<u64>) -> Vec<RequestId> {
        let asked = self.asked.take_if(|question| Some(question.term) != term);
        let mut lost = asked.map_or_else(Vec::new, |question| question.requests);
        if term.is_none() {
            lost.append(&mut self.waiting);
        }
        lost
    }
}

impl Coordinator {
    /// Answers the reads that are confirmed and those that never will be, and asks for the others.
    pub(super) fn settle_reads(&mut self) {
        if self.reads.asked.is_none() && self.reads.waiting.is_empty() {
            return;
        }
        let Some(consensus) = self.log.consensus_mut() else {
            // Who works alone needs nobody to confirm it.
            let waiting = std::mem::take(&mut self.reads.waiting);
            return self.answer_reads(waiting, &Answer::Done);
        };
        let mut confirmed = Vec::new();
        let mut lost = Vec::new();
        let term = self.is_deciding.then(|| consensus.status().term);
        lost.append(&mut self.reads.take_lost(term));
        loop {
            while let Some((number, _)) = consensus.poll_read() {
                let asked = self.reads.asked.take_if(|question| question.number == number);
                confirmed.extend(asked.into_iter().flat_map(|question| question.requests));
            }
            let Some(term) = term else { break };
            if self.reads.asked.is_some() || self.reads.waiting.is_empty() {
                break;
            }
            let requests = std::mem::take(&mut self.reads.waiting);
            self.reads.last += 1;
            let number = self.reads.last;
            match consensus.read_index(number) {
                // The only voter of a group has its answer at once.
                Ok(()) => self.reads.asked = Some(Question { number, term, requests }),
                Err(_) => lost.extend(requests),
            }
        }
        self.answer_reads(confirmed, &Answer::Done);
        self.answer_reads(lost, &Answer::NotLeader);
    }

    fn answer_reads(&mut self, reads: Vec<RequestId>, answer: &Answer) {
        let answers = reads.into_iter().map(|id| Effect::Answer { id, answer: answer.clone() });
        self.effects.extend(answers);
    }
}

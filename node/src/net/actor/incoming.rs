//! What members send, judged: requests, replies, announcements, and the account of who breaks the rules.

use std::time::Instant;

use hedgerow_protocol::{
    limits as bounds,
    wire::{Announcement, Declined, Message as _, Reply, Request},
};
use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance},
    request_response::{self, OutboundFailure, OutboundRequestId, ResponseChannel},
};
use tokio::{sync::oneshot, time::timeout};
use tracing::warn;

use super::{Actor, Answer, Pending};
use crate::net::{
    Inbound, PeerState, RequestError, Responder,
    counters::bump,
    exchange::{Answered, Asked, Broken, Frame},
    limits::{Fault, LATE_REPLIES, UNANSWERED_PER_PEER},
};

impl Actor {
    /// Writes a fault to a member's account, and shows it the door when it is one too many.
    pub(super) fn charge(&mut self, peer: PeerId, fault: Fault, times: u32) {
        let now = Instant::now();
        let Some(member) = self.members.get(&peer) else { return };
        let id = member.id;
        let until = member.standing.charge(fault, times, &self.conduct, now);
        self.members.status(&id, |status| status.faults = status.faults.saturating_add(u64::from(times)));
        if let Some(until) = until {
            bump(&self.shared.tally.blocks);
            self.admission.block(peer, until);
            let remaining = until.saturating_duration_since(now);
            self.members.status(&id, |status| status.state = PeerState::Blocked { fault, remaining });
            let _ = self.swarm.disconnect_peer_id(peer);
            warn!(member = id.short(), %fault, seconds = remaining.as_secs(), "blocked for its conduct");
        }
    }

    fn count_broken(&self, broken: Broken) -> Option<Fault> {
        let (counter, fault) = match broken {
            Broken::Oversize => (&self.shared.tally.oversize, Some(Fault::Oversize)),
            Broken::Malformed => (&self.shared.tally.malformed, Some(Fault::Malformed)),
            // Slow is no fault: the link may be Tor, or bad.
            Broken::Late => (&self.shared.tally.late, None),
        };
        bump(counter);
        fault
    }

    pub(super) fn on_exchange(&mut self, event: request_response::Event<Asked, Answered>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                match request {
                    Asked::In(Ok((request, beside))) => self.on_asked(peer, request, beside, channel),
                    Asked::In(Err(broken)) => {
                        if let Some(fault) = self.count_broken(broken) {
                            self.charge(peer, fault, 1);
                        }
                        // Dropping the channel ends the stream: no reply, not even a refusal.
                    }
                    Asked::Out { .. } => {}
                }
            }
            Event::Message { peer, message: Message::Response { request_id, response }, .. } => {
                match response {
                    Answered::In(Ok(reply)) => self.on_reply(request_id, Ok(reply)),
                    Answered::In(Err(broken)) => {
                        let error = match self.count_broken(broken) {
                            Some(fault) => {
                                self.charge(peer, fault, 1);
                                RequestError::Broken(fault)
                            }
                            None => RequestError::Late,
                        };
                        self.on_reply(request_id, Err(error));
                    }
                    Answered::Out(_) => {}
                }
            }
            Event::OutboundFailure { request_id, error, .. } => {
                let error = match error {
                    OutboundFailure::Timeout => RequestError::Late,
                    OutboundFailure::DialFailure => RequestError::NotConnected,
                    OutboundFailure::ConnectionClosed => RequestError::Lost,
                    OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
                    OutboundFailure::Io(error) => match error.kind() {
                        std::io::ErrorKind::TimedOut => RequestError::Late,
                        std::io::ErrorKind::UnexpectedEof => RequestError::Unanswered,
                        std::io::ErrorKind::Unsupported => RequestError::Unsupported,
                        _ => RequestError::Lost,
                    },
                };
                if error == RequestError::Late {
                    bump(&self.shared.tally.late);
                }
                self.on_reply(request_id, Err(error));
            }
            // Ours to have left without an answer, counted where that was decided; or its own to have left.
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    pub(super) fn on_reply(&mut self, id: OutboundRequestId, reply: Result<(Reply, Vec<u8>), RequestError>) {
        let Some(Pending { peer, done, .. }) = self.asked.remove(&id) else { return };
        let mut dead = false;
        if let Some(member) = self.members.get(&peer) {
            member.asked = member.asked.saturating_sub(1);
            match &reply {
                Ok(_) => member.late = 0,
                Err(RequestError::Late) => member.late = member.late.saturating_add(1),
                Err(_) => {}
            }
            dead = member.late >= LATE_REPLIES;
            if dead {
                member.late = 0;
            }
            let id = member.id;
            if reply.is_ok() {
                self.members.status(&id, |status| status.answered = status.answered.saturating_add(1));
            }
        }
        if dead {
            // Nobody pings: a link that died without a word is noticed here, and dialled anew.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let _ = done.send(reply);
    }

    fn on_asked(
        &mut self,
        peer: PeerId,
        request: Request,
        beside: Vec<u8>,
        channel: ResponseChannel<Answered>,
    ) {
        // Still in the buffer of a connection that was closed for it.
        let Some(member) = self.members.get(&peer).filter(|m| m.standing.blocked(Instant::now()).is_none())
        else {
            bump(&self.shared.tally.blocked);
            return;
        };
        if !member.buckets.request(&request) {
            bump(&self.shared.tally.rate);
            self.answer(channel, busy());
            self.charge(peer, Fault::Rate, 1);
            return;
        }
        let id = member.id;
        let deadline = self.deadlines.of(&request);
        let (reply, answer) = oneshot::channel();
        let event = Inbound::Request { from: id, request, beside, reply: Responder(reply) };
        if member.unanswered >= UNANSWERED_PER_PEER || self.inbound.try_send(event).is_err() {
            bump(&self.shared.tally.queue_full);
            self.answer(channel, busy());
            return;
        }
        member.unanswered = member.unanswered.saturating_add(1);
        self.members.status(&id, |status| status.asked = status.asked.saturating_add(1));
        self.answers.push(Box::pin(async move {
            let frame = timeout(deadline, answer).await.ok().and_then(Result::ok);
            Answer { peer, channel, frame }
        }));
    }

    pub(super) fn on_answer(&mut self, Answer { peer, channel, frame }: Answer) {
        if let Some(member) = self.members.get(&peer) {
            member.unanswered = member.unanswered.saturating_sub(1);
        }
        if frame.is_none() {
            bump(&self.shared.tally.unanswered);
        }
        self.answer(channel, frame.unwrap_or_else(busy));
    }

    fn answer(&mut self, channel: ResponseChannel<Answered>, frame: Frame) {
        // An error means that the other side is gone.
        let _ = self.swarm.behaviour_mut().exchange.send_response(channel, Answered::Out(frame));
    }

    /// Decides on a message whose signature gossipsub has verified: the cheapest question first, and nothing is
    /// forwarded before the last.
    pub(super) fn judge(&mut self, via: PeerId, message: &gossipsub::Message) -> MessageAcceptance {
        let tally = self.shared.tally.clone();
        if message.data.len() > bounds::GOSSIP_BYTES {
            bump(&tally.oversize);
            self.charge(via, Fault::Oversize, 1);
            return MessageAcceptance::Reject;
        }
        if message.topic != self.topic.hash() {
            return MessageAcceptance::Ignore;
        }
        let author = message.source.and_then(|author| Some((author, self.members.get(&author)?)));
        let Some((author, member)) = author else {
            // Not the forwarder's fault: its charter may be a day older than ours.
            bump(&tally.not_member);
            return MessageAcceptance::Ignore;
        };
        if member.standing.blocked(Instant::now()).is_some() {
            bump(&tally.blocked);
            return MessageAcceptance::Ignore;
        }
        if !message.sequence_number.is_some_and(|number| member.replay.is_new(number)) {
            bump(&tally.replayed);
            return MessageAcceptance::Ignore;
        }
        if !member.buckets.announcement() {
            bump(&tally.rate);
            // The author's fault where it brings them itself: an honest member stays within the same rate. From
            // another's hand they may be old ones, gathered to have it charged.
            if author == via {
                self.charge(author, Fault::Rate, 1);
            }
            return MessageAcceptance::Ignore;
        }
        let from = member.id;
        let announcement = Announcement::from_bytes(&message.data)
            .ok()
            .filter(|announcement| announcement.bytes <= bounds::DOCUMENT_BYTES as u64);
        let (Some(announcement), Some(via_id)) =
            (announcement, self.members.get(&via).map(|member| member.id))
        else {
            // The forwarder's fault, whoever signed: an honest member checks before it forwards.
            bump(&tally.malformed);
            self.charge(via, Fault::Malformed, 1);
            return MessageAcceptance::Reject;
        };
        if self.inbound.try_send(Inbound::Announced { from, via: via_id, announcement }).is_err() {
            bump(&tally.queue_full);
            return MessageAcceptance::Ignore;
        }
        self.members.status(&from, |status| status.announced = status.announced.saturating_add(1));
        MessageAcceptance::Accept
    }
}

/// The reply that asks to come back later.
fn busy() -> Frame {
    Frame::reply(&Reply::Declined { why: Declined::Busy }, Vec::new()).unwrap_or_default()
}

//! Three nodes of ours that serve, and a fourth member with nothing but its key and a network.

use std::fs;

use hedgerow_node::net::{Inbound, NetConfig, Network, Peer, RequestError};
use hedgerow_protocol::{
    document::{Charter, Envelope, Member, NodeSecret, Signed},
    id::NodeId,
    pseudonym::VouchingKey,
    wire::{Reply, Request},
};
use hedgerow_tests::{Federation, Serving, eventually, free_addresses};
use tokio::sync::mpsc;

/// Three nodes of ours that serve, and a fourth member with nothing but its key and a network.
pub(crate) struct World {
    pub(crate) federation: Federation,
    pub(crate) _serving: Vec<Serving>,
    pub(crate) charter: Signed<Charter>,
    pub(crate) secret: NodeSecret,
    pub(crate) net: Network,
    /// What the others ask of it; taken by whoever answers.
    pub(crate) inbound: Option<mpsc::Receiver<Inbound>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same under a charter with these terms.
    pub(crate) async fn with(terms: &[&str]) -> Self {
        let secret = NodeSecret::from_seed(&[66; 32]);
        let addresses = free_addresses();
        let member = Member {
            id: secret.node_id(),
            name: "Hostile".into(),
            contact: String::new(),
            addresses: addresses.clone(),
            vouching: VouchingKey::of(&secret).and_then(|key| key.public()).ok(),
        };
        let dir = tempfile::tempdir().unwrap();
        let card = dir.path().join("hostile.json");
        fs::write(&card, Signed::new(member, &secret).unwrap().envelope().to_json().unwrap()).unwrap();
        let federation = Federation::new(3, &[&["--member", card.to_str().unwrap()], terms].concat());
        let charter: Signed<Charter> =
            Envelope::from_json(fs::read(federation.charter()).unwrap().trim_ascii())
                .unwrap()
                .open()
                .unwrap();
        let serving: Vec<Serving> = federation.nodes.iter().map(|n| n.serve()).collect();
        let peers = charter.document().members.iter().filter(|m| m.id != secret.node_id());
        let peers = peers.map(|m| Peer { id: m.id, addresses: m.addresses.clone() }).collect();
        let (events, inbound) = mpsc::channel(256);
        let net = Network::start(&secret, NetConfig::new(addresses, peers, charter.id().digest()), events);
        let net = net.await.unwrap();
        eventually("everyone is connected", || {
            federation.nodes.iter().all(|n| {
                let status = n.json(&["status"]);
                status["network"]["peers"].as_array().unwrap().iter().all(|p| p["connected"] == true)
            })
        });
        Self { federation, _serving: serving, charter, secret, net, inbound: Some(inbound) }
    }

    pub(crate) fn honest(&self) -> Vec<NodeId> {
        let members = self.charter.document().members.iter().map(|m| m.id);
        members.filter(|id| *id != self.secret.node_id()).collect()
    }

    pub(crate) async fn request(
        &self,
        to: NodeId,
        request: Request,
        beside: Vec<u8>,
    ) -> Result<Reply, RequestError> {
        self.net.exchange(to, request, beside).await.map(|(reply, _)| reply)
    }
}

//! TAXII 2.1 server (OASIS, 10 June 2021): the library for programs that collect threat indicators
//! (docs/indicators.md).
//!
//! `http` takes requests from the wire under bounds; `answer` says what each gets, without any input or output of its
//! own; `filter` reads what was asked for and binds pages to it; `catalog` keeps the order in which objects were added.

mod answer;
mod catalog;
mod filter;
mod http;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use answer::Server;
use catalog::Catalog;
use rand::Rng as _;

use crate::{
    error::{Class, NodeError},
    node::{Node, random},
};

/// A bound TAXII server; it answers while [`Self::serve`] runs.
pub struct Taxii {
    listener: tokio::net::TcpListener,
    server: Arc<Server>,
    /// Where it is reached.
    url: String,
}

impl Taxii {
    /// Binds `address`. `url` is how clients reach it, where that is through a proxy; what leaves this machine needs
    /// one that speaks TLS, so that no token is ever sent in the clear.
    pub fn bind(node: &Arc<Node>, address: SocketAddr, url: Option<String>) -> Result<Self, NodeError> {
        let outside = url.as_deref().is_some_and(|url| url.starts_with("https://"));
        if !address.ip().is_loopback() && !outside {
            return Err(NodeError::input(
                "TAXII is served in the clear: bind it to loopback, or put a proxy with TLS before it and name that \
                 with --taxii-url https://…",
            ));
        }
        let io = |e: std::io::Error| {
            NodeError::new(Class::Network, format!("TAXII cannot be served on {address}: {e}"))
        };
        let listener = TcpListener::bind(address).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let bound = listener.local_addr().map_err(io)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(io)?;
        let base = url.unwrap_or_else(|| format!("http://{bound}"));
        let base = base.trim_end_matches('/').to_owned();
        let mut fresh = [0; 32];
        random().fill_bytes(&mut fresh);
        let key = node.clients.paging_key(&fresh)?;
        let catalog = Catalog::open(Arc::clone(node))?;
        let url = format!("{base}/taxii2/");
        Ok(Self { listener, server: Arc::new(Server::new(base, catalog, key)), url })
    }

    /// The address of its discovery.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers until the future is dropped.
    pub async fn serve(&self) {
        http::serve(&self.listener, &self.server).await;
    }
}

#[cfg(test)]
mod tests;

//! `serve`: runs the node until it is told to stop.

use std::{process::ExitCode, sync::Arc, time::Duration};

use hedgerow_node::{
    api::{socket::Socket, taxii::Taxii},
    flow::{access::Action, serve::Service},
    process,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::{args::Serve, output, session};

/// Where a node listens when neither its operator nor its charter says.
const DEFAULT_LISTEN: [&str; 2] = ["/ip4/0.0.0.0/udp/4817/quic-v1", "/ip4/0.0.0.0/tcp/4817"];

pub(crate) fn run(context: &Context, serve: Serve) -> anyhow::Result<ExitCode> {
    // Only this project's own lines: those of the network's libraries hold addresses of members, and a peer can
    // provoke them.
    let level = std::env::var("HEDGEROW_LOG").ok().and_then(|l| l.parse::<tracing::Level>().ok());
    let level = level.unwrap_or(tracing::Level::WARN);
    let filter = tracing_subscriber::EnvFilter::new(format!("off,hedgerow={level}"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if !process::harden().memory_locked {
        tracing::warn!(
            "memory may reach swap: use encrypted swap or none, or allow locking (LimitMEMLOCK=infinity)"
        );
    }
    let node = Arc::new(context.session.open(Action::Serve, "")?);
    let idle = Some(Duration::from_secs(serve.lock_after.saturating_mul(60))).filter(|idle| !idle.is_zero());
    let own = node.charter().and_then(|c| c.document().member(&node.id())).map(|m| m.addresses.clone());
    let listen = match (serve.listen.is_empty(), own) {
        (false, _) => serve.listen,
        (true, Some(own)) if !own.is_empty() => own,
        _ => DEFAULT_LISTEN.map(str::to_owned).to_vec(),
    };
    session::runtime()?.block_on(async {
        let service = Arc::new(Service::start(Arc::clone(&node), listen).await?);
        let socket = Socket::bind(node.home())?.locking_after(idle);
        let taxii = serve.taxii.map(|address| Taxii::bind(&node, address, serve.taxii_url)).transpose()?;
        let taxii_url = taxii.as_ref().map(Taxii::url);
        if context.json {
            output::json(
                &json!({ "ready": true, "listening": service.network().listening(), "taxii": taxii_url }),
            )?;
        } else {
            println!("Running, listening on {}. Ctrl-C stops it.", service.network().listening().join(", "));
            taxii_url.iter().for_each(|url| println!("TAXII at {url}"));
        }
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            () = socket.serve(Arc::clone(&service)) => {}
            () = served(taxii.as_ref()) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            () = stdin_closed(), if serve.until_stdin_closes => {}
        }
        service.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Serves TAXII, if it is asked for; else never ends.
async fn served(taxii: Option<&Taxii>) {
    match taxii {
        Some(taxii) => taxii.serve().await,
        None => std::future::pending().await,
    }
}

/// Ends when standard input does. A thread of its own reads it: a read that never returns must not hold up
/// the end of the runtime.
async fn stdin_closed() {
    let (closed, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closed.send(());
    });
    let _ = told.await;
}

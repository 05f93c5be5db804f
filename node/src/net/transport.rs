//! The two ways to a member, QUIC and TCP with Noise and Yamux, and the one door behind both
//! (docs/protocol.md §8; libp2p specs: quic, noise, yamux).

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
};

use futures::future;
use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, TransportError},
        upgrade::Version,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, quic, tcp, yamux,
};

use super::{
    NetError,
    admission::{Admission, Refused},
    limits::{HANDSHAKE_DEADLINE, STREAMS_PER_CONNECTION},
};

/// Unread bytes that one QUIC stream may hold: four replies of the largest size.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Unread bytes that all streams of one QUIC connection may hold.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
enum Setup {
    #[error("{0}")]
    Handshake(io::Error),
    #[error(transparent)]
    Refused(Refused),
}

/// Both transports behind the admission check.
pub(super) fn build(
    keypair: &Keypair,
    admission: Arc<Admission>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let noise = noise::Config::new(keypair).map_err(|error| NetError::Setup(error.to_string()))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_PER_CONNECTION);
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(HANDSHAKE_DEADLINE)
        .boxed();

    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = HANDSHAKE_DEADLINE;
    config.max_concurrent_stream_limit = u32::try_from(STREAMS_PER_CONNECTION).unwrap_or(u32::MAX);
    config.max_stream_data = STREAM_WINDOW;
    config.max_connection_data = CONNECTION_WINDOW;
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed();

    // One check over both, so that no transport can be added in front of it by accident.
    Ok(quic
        .or_transport(tcp)
        .map(|either, _| either.into_inner())
        .and_then(move |(peer, muxer), point| {
            future::ready(admission.check(&peer, &point).map(|()| (peer, muxer)))
        })
        .map_err(|error| error.either(|failed| Setup::Handshake(failed.into_inner()), Setup::Refused))
        .boxed())
}

/// The refusal inside a transport error, if that is what it is.
pub(super) fn refused(error: &TransportError<io::Error>) -> Option<Refused> {
    let TransportError::Other(error) = error else { return None };
    match error.get_ref()?.downcast_ref::<Setup>()? {
        Setup::Refused(refused) => Some(*refused),
        Setup::Handshake(_) => None,
    }
}

/// An address of the two forms that are spoken: an IP address, then `tcp/PORT` or `udp/PORT/quic-v1`, and
/// for a member possibly its peer id.
pub(super) fn address(text: &str, member: Option<PeerId>) -> Result<Multiaddr, &'static str> {
    const FORM: &str = "write /ip4/ADDRESS/tcp/PORT or /ip4/ADDRESS/udp/PORT/quic-v1 (or ip6)";
    let mut address: Multiaddr = text.parse().map_err(|_| FORM)?;
    if let Some(Protocol::P2p(named)) = address.iter().last() {
        if member != Some(named) {
            return Err("the peer id in it is another node's");
        }
        address.pop();
    }
    let mut parts = address.iter();
    let host = matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)));
    let port = match parts.next() {
        Some(Protocol::Tcp(_)) => true,
        Some(Protocol::Udp(_)) => parts.next() == Some(Protocol::QuicV1),
        _ => false,
    };
    if host && port && parts.next().is_none() { Ok(address) } else { Err(FORM) }
}

/// Whether the TCP port of a listen address is free.
///
/// The TCP transport listens with `SO_REUSEPORT`, so a second node on the port would start and silently take
/// half of the connections; binding once without that option shows what is there.
pub(super) fn check_port_is_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind(SocketAddr::new(ip, port)).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_with_tcp_or_quic() {
        for good in ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/0"] {
            assert_eq!(address(good, None).unwrap().to_string(), good);
        }
        let bad = [
            "",
            "192.0.2.1:4001",
            "/ip4/192.0.2.1",
            "/ip4/192.0.2.1/udp/4001",
            "/dns4/example.org/tcp/1",
            "/ip4/192.0.2.1/tcp/1/ws",
            "/memory/7",
        ];
        for text in bad {
            assert!(address(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_peer_id_in_an_address_must_be_the_members() {
        let (member, other) = (PeerId::random(), PeerId::random());
        let named = format!("/ip4/192.0.2.1/tcp/4001/p2p/{member}");
        assert_eq!(address(&named, Some(member)).unwrap().to_string(), "/ip4/192.0.2.1/tcp/4001");
        assert!(address(&named, Some(other)).is_err());
        assert!(address(&named, None).is_err());
    }
}

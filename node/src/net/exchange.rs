//! Request and reply: one stream each, two lengths, then that many bytes of JSON and of what is beside it
//! (docs/protocol.md §8).
//!
//! ```text
//! length of the JSON: 4 bytes, most significant first
//! length of what is beside it: 4 bytes; not in the first version, where nothing is
//! JSON of a Request or a Reply
//! what is beside it
//! ```
//!
//! The lengths are compared with their bounds before a byte after them is read or memory is taken for it. What is wrong with a message is handed on as a value and not as an I/O error, because an I/O error
//! on an incoming request is not reported with its sender, and a fault without a sender cannot be charged.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use hedgerow_protocol::{
    codec::CodecError,
    limits::BESIDE_BYTES,
    wire::{self, Message, Reply, Request},
};
use libp2p::{StreamProtocol, request_response};
use tokio::time::{Instant, timeout_at};

use super::limits::{ARRIVAL_DEADLINE, Deadlines, EXCHANGES_PER_CONNECTION};

/// What was wrong with a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Oversize,
    Malformed,
    Late,
}

/// A request on its way out, or what came in.
#[derive(Debug)]
pub(super) enum Asked {
    Out { frame: Frame, deadline: Duration },
    In(Result<(Request, Vec<u8>), Broken>),
}

/// A reply on its way out, or what came in.
#[derive(Debug)]
pub(super) enum Answered {
    Out(Frame),
    In(Result<(Reply, Vec<u8>), Broken>),
}

/// What two members may say to each other, by the protocol that both know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Questions, documents and lists of them; nothing is beside the JSON.
    #[default]
    Bare,
    /// Rounds, too.
    Rounds,
    /// Reconciliation, too.
    Reconciling,
}

impl Version {
    const ALL: [(&str, Self); 3] = [
        (wire::EXCHANGE_PROTOCOL, Self::Reconciling),
        (wire::EXCHANGE_PROTOCOL_2, Self::Rounds),
        (wire::EXCHANGE_PROTOCOL_1, Self::Bare),
    ];

    fn of(protocol: &StreamProtocol) -> Self {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == protocol.as_ref())
            .map_or(Self::Bare, |(_, version)| *version)
    }
}

/// A message as it is written.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Its JSON.
    pub(super) head: Vec<u8>,
    /// Beside it.
    pub(super) beside: Vec<u8>,
    /// The first version that has this message.
    pub(super) since: Version,
}

impl Frame {
    pub(super) fn request(request: &Request, beside: Vec<u8>) -> Result<Self, CodecError> {
        let since = match request {
            Request::Query { .. } | Request::Fetch { .. } | Request::Inventory { .. } => Version::Bare,
            Request::Put { .. } | Request::Rest { .. } | Request::Round { .. } => Version::Rounds,
            Request::Epochs
            | Request::Reconcile { .. }
            | Request::Describe { .. }
            // Only under charters that older programs do not read.
            | Request::Evaluate { .. }
            | Request::Carry { .. } => Version::Reconciling,
        };
        Self::new(request.to_bytes()?, beside, since)
    }

    pub(super) fn reply(reply: &Reply, beside: Vec<u8>) -> Result<Self, CodecError> {
        let since = match reply {
            Reply::Answer { .. } | Reply::Page { .. } | Reply::Inventory { .. } | Reply::Declined { .. } => {
                Version::Bare
            }
            Reply::Put { .. } | Reply::Rest | Reply::Round { .. } => Version::Rounds,
            Reply::Epochs { .. } | Reply::Reconcile | Reply::Evaluated { .. } | Reply::Carried => {
                Version::Reconciling
            }
        };
        Self::new(reply.to_bytes()?, beside, since)
    }

    fn new(head: Vec<u8>, beside: Vec<u8>, since: Version) -> Result<Self, CodecError> {
        if beside.len() > BESIDE_BYTES {
            return Err(CodecError::TooLong { actual: beside.len(), limit: BESIDE_BYTES });
        }
        let since = if beside.is_empty() { since } else { since.max(Version::Rounds) };
        Ok(Self { head, beside, since })
    }
}

pub(super) type Exchange = request_response::Behaviour<Codec>;

/// The exchange, with a deadline of its own as a backstop behind those of each message.
pub(super) fn behaviour(deadlines: &Deadlines) -> Exchange {
    let longest = deadlines.query.max(deadlines.read).max(deadlines.round);
    let config = request_response::Config::default()
        .with_request_timeout(longest.saturating_add(ARRIVAL_DEADLINE.saturating_mul(2)))
        .with_max_concurrent_streams(EXCHANGES_PER_CONNECTION);
    // The first that both know is spoken.
    let protocols =
        Version::ALL.map(|(name, _)| (StreamProtocol::new(name), request_response::ProtocolSupport::Full));
    Exchange::with_codec(Codec::default(), protocols, config)
}

/// Reads and writes the frames of one stream. Cloned for each stream, so the deadline of a request is kept
/// from its writing to the reading of its reply.
#[derive(Debug, Clone, Default)]
pub(super) struct Codec {
    deadline: Option<Instant>,
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Asked;
    type Response = Answered;

    async fn read_request<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Asked>
    where
        T: AsyncRead + Unpin + Send,
    {
        let deadline = Instant::now().checked_add(ARRIVAL_DEADLINE);
        match read(io, protocol, deadline).await {
            // A sender that closes before its last byte has sent something that is not a request.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Asked::In(Err(Broken::Malformed)))
            }
            read => read.map(Asked::In),
        }
    }

    async fn read_response<T>(&mut self, protocol: &StreamProtocol, io: &mut T) -> io::Result<Answered>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, protocol, self.deadline).await.map(Answered::In)
    }

    async fn write_request<T>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
        asked: Asked,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Asked::Out { frame, deadline } = asked else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.deadline = Instant::now().checked_add(deadline);
        write(io, protocol, &frame, self.deadline).await
    }

    async fn write_response<T>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
        answered: Answered,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Answered::Out(frame) = answered else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // The backstop of the behaviour bounds a reader that does not read.
        write(io, protocol, &frame, None).await
    }
}

async fn length(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<usize> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    Ok(usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))
}

async fn read<M: Message>(
    io: &mut (impl AsyncRead + Unpin + Send),
    protocol: &StreamProtocol,
    deadline: Option<Instant>,
) -> io::Result<Result<(M, Vec<u8>), Broken>> {
    let frame = async {
        let head = length(io).await?;
        if head > M::MAX_BYTES {
            return Ok(Err(Broken::Oversize));
        }
        let beside = if Version::of(protocol) == Version::Bare { 0 } else { length(io).await? };
        if beside > BESIDE_BYTES {
            return Ok(Err(Broken::Oversize));
        }
        let mut bytes = vec![0; head];
        io.read_exact(&mut bytes).await?;
        // What does not read is not worth the bytes beside it.
        let message = match M::from_bytes(&bytes) {
            Ok(message) => message,
            Err(CodecError::TooLong { .. }) => return Ok(Err(Broken::Oversize)),
            Err(_) => return Ok(Err(Broken::Malformed)),
        };
        let mut bytes = vec![0; beside];
        io.read_exact(&mut bytes).await?;
        Ok(Ok((message, bytes)))
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, frame).await.unwrap_or(Ok(Err(Broken::Late))),
        None => frame.await,
    }
}

async fn write(
    io: &mut (impl AsyncWrite + Unpin + Send),
    protocol: &StreamProtocol,
    frame: &Frame,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let version = Version::of(protocol);
    if version < frame.since {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput);
    let (head, beside) = (length(&frame.head)?, length(&frame.beside)?);
    let frame = async {
        io.write_all(&head.to_be_bytes()).await?;
        if version != Version::Bare {
            io.write_all(&beside.to_be_bytes()).await?;
        }
        io.write_all(&frame.head).await?;
        io.write_all(&frame.beside).await?;
        io.flush().await
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, frame).await.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
        None => frame.await,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use futures::io::Cursor;
    use hedgerow_protocol::{id::Digest, wire::Blob};
    use libp2p::request_response::Codec as _;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL);

    const OLDER: StreamProtocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL_2);
    const OLD: StreamProtocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL_1);

    async fn read_request(
        protocol: &StreamProtocol,
        bytes: &[u8],
    ) -> (Result<(Request, Vec<u8>), Broken>, u64) {
        let mut io = Cursor::new(bytes);
        let Asked::In(read) = Codec::default().read_request(protocol, &mut io).await.unwrap() else {
            panic!("what is read has come in")
        };
        (read, io.position())
    }

    #[tokio::test]
    async fn a_frame_is_read_back() {
        let blob = Blob { id: Digest::of(b"blob"), bytes: 4 };
        for (request, beside) in
            [(Request::Inventory { after: 3 }, vec![]), (Request::Put { blob, offset: 0 }, b"blob".to_vec())]
        {
            let out = out(&request, &beside);
            let mut frame = Vec::new();
            Codec::default().write_request(&PROTOCOL, &mut frame, out).await.unwrap();
            assert_eq!(read_request(&PROTOCOL, &frame).await.0, Ok((request, beside)));
        }
    }

    /// Who knows only an earlier version is asked what it knows, in its frames, and nothing else.
    #[tokio::test]
    async fn the_versions_before_are_still_spoken() {
        let request = Request::Inventory { after: 3 };
        let mut frame = Vec::new();
        Codec::default().write_request(&OLD, &mut frame, out(&request, b"")).await.unwrap();
        let json = request.to_bytes().unwrap();
        assert_eq!(frame, [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], &json].concat());
        assert_eq!(read_request(&OLD, &frame).await.0, Ok((request, vec![])));
        let new = Request::Put { blob: Blob { id: Digest::of(b""), bytes: 0 }, offset: 0 };
        let written = Codec::default().write_request(&OLD, &mut Vec::new(), out(&new, b"")).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::Unsupported);
        let written = Codec::default().write_request(&OLDER, &mut Vec::new(), out(&new, b"")).await;
        assert!(written.is_ok());
        for newest in [Request::Epochs, Request::Reconcile { epoch: 1 }, Request::Describe { ids: vec![] }] {
            let written = Codec::default().write_request(&OLDER, &mut Vec::new(), out(&newest, b"")).await;
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::Unsupported);
        }
    }

    fn out(request: &Request, beside: &[u8]) -> Asked {
        let frame = Frame::request(request, beside.to_vec()).unwrap();
        Asked::Out { frame, deadline: Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn a_frame_over_its_bound_is_refused_at_its_length() {
        let over = u32::try_from(Request::MAX_BYTES + 1).unwrap().to_be_bytes().to_vec();
        assert_eq!(read_request(&PROTOCOL, &over).await, (Err(Broken::Oversize), 4));
        let over = [[0, 0, 0, 2], u32::try_from(BESIDE_BYTES + 1).unwrap().to_be_bytes()].concat();
        assert_eq!(read_request(&PROTOCOL, &over).await, (Err(Broken::Oversize), 8));
        // Only asks of a round may be that long.
        let mut padded = Request::Inventory { after: 3 }.to_bytes().unwrap();
        padded.resize(hedgerow_protocol::limits::REQUEST_BYTES + 1, b' ');
        let frame = [&u32::try_from(padded.len()).unwrap().to_be_bytes()[..], &[0; 4], &padded].concat();
        assert_eq!(read_request(&PROTOCOL, &frame).await.0, Err(Broken::Oversize));
    }

    #[tokio::test]
    async fn a_reply_that_does_not_end_is_late_at_the_deadline_of_its_request() {
        struct Silent;
        impl AsyncRead for Silent {
            fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
                Poll::Pending
            }
        }
        let mut codec = Codec::default();
        let out = Asked::Out { frame: Frame::default(), deadline: Duration::from_millis(10) };
        codec.write_request(&PROTOCOL, &mut Vec::new(), out).await.unwrap();
        let (protocol, mut silent) = (PROTOCOL, Silent);
        let read = codec.read_response(&protocol, &mut silent);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        assert!(matches!(read, Answered::In(Err(Broken::Late))));
    }

    #[tokio::test]
    async fn a_frame_cut_short_or_of_other_bytes_is_malformed() {
        for bytes in [
            &[0, 0][..],
            &[0, 0, 0, 9, 0, 0, 0, 0, b'{'],
            &[0, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0],
        ] {
            assert_eq!(read_request(&PROTOCOL, bytes).await.0, Err(Broken::Malformed), "{bytes:?}");
        }
        assert_eq!(read_request(&OLD, &[0, 0, 0, 0]).await.0, Err(Broken::Malformed));
    }
}

//! Request and reply: one stream each, a length, then that many bytes of JSON (docs/protocol.md §8).
//!
//! ```text
//! length of the JSON: 4 bytes, most significant first
//! JSON of a Request or a Reply
//! ```
//!
//! The length is compared with the bound of its direction before a byte after it is read or memory is taken
//! for it. What is wrong with a message is handed on as a value and not as an I/O error, because an I/O error
//! on an incoming request is not reported with its sender, and a fault without a sender cannot be charged.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use hedgerow_protocol::{
    codec::CodecError,
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
    Out { bytes: Vec<u8>, deadline: Duration },
    In(Result<Request, Broken>),
}

/// A reply on its way out, or what came in.
#[derive(Debug)]
pub(super) enum Answered {
    Out(Vec<u8>),
    In(Result<Reply, Broken>),
}

pub(super) type Exchange = request_response::Behaviour<Codec>;

/// The exchange, with a deadline of its own as a backstop behind those of each message.
pub(super) fn behaviour(deadlines: &Deadlines) -> Exchange {
    let longest = deadlines.query.max(deadlines.read);
    let config = request_response::Config::default()
        .with_request_timeout(longest.saturating_add(ARRIVAL_DEADLINE.saturating_mul(2)))
        .with_max_concurrent_streams(EXCHANGES_PER_CONNECTION);
    let protocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL);
    Exchange::with_codec(Codec::default(), [(protocol, request_response::ProtocolSupport::Full)], config)
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

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Asked>
    where
        T: AsyncRead + Unpin + Send,
    {
        let deadline = Instant::now().checked_add(ARRIVAL_DEADLINE);
        match read(io, deadline).await {
            // A sender that closes before its last byte has sent something that is not a request.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Asked::In(Err(Broken::Malformed)))
            }
            read => read.map(Asked::In),
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answered>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.deadline).await.map(Answered::In)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, asked: Asked) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Asked::Out { bytes, deadline } = asked else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.deadline = Instant::now().checked_add(deadline);
        write(io, &bytes, self.deadline).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answered: Answered,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Answered::Out(bytes) = answered else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // The backstop of the behaviour bounds a reader that does not read.
        write(io, &bytes, None).await
    }
}

async fn read<M: Message>(
    io: &mut (impl AsyncRead + Unpin + Send),
    deadline: Option<Instant>,
) -> io::Result<Result<M, Broken>> {
    let frame = async {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > M::MAX_BYTES {
            return Ok(Err(Broken::Oversize));
        }
        let mut bytes = vec![0; length];
        io.read_exact(&mut bytes).await?;
        Ok(M::from_bytes(&bytes).map_err(|error| match error {
            CodecError::TooLong { .. } => Broken::Oversize,
            _ => Broken::Malformed,
        }))
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, frame).await.unwrap_or(Ok(Err(Broken::Late))),
        None => frame.await,
    }
}

async fn write(
    io: &mut (impl AsyncWrite + Unpin + Send),
    bytes: &[u8],
    deadline: Option<Instant>,
) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let frame = async {
        io.write_all(&length.to_be_bytes()).await?;
        io.write_all(bytes).await?;
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
    use hedgerow_protocol::limits;
    use libp2p::request_response::Codec as _;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL);

    async fn read_request(bytes: &[u8]) -> (Result<Request, Broken>, u64) {
        let mut io = Cursor::new(bytes);
        let Asked::In(read) = Codec::default().read_request(&PROTOCOL, &mut io).await.unwrap() else {
            panic!("what is read has come in")
        };
        (read, io.position())
    }

    #[tokio::test]
    async fn a_frame_is_read_back() {
        let request = Request::Inventory { after: 3 };
        let mut frame = Vec::new();
        let out = Asked::Out { bytes: request.to_bytes().unwrap(), deadline: Duration::from_secs(1) };
        Codec::default().write_request(&PROTOCOL, &mut frame, out).await.unwrap();
        assert_eq!(read_request(&frame).await.0, Ok(request));
    }

    #[tokio::test]
    async fn a_frame_over_its_bound_is_refused_at_its_length() {
        let mut frame = u32::try_from(limits::REQUEST_BYTES + 1).unwrap().to_be_bytes().to_vec();
        frame.resize(4 + limits::REQUEST_BYTES + 1, b' ');
        assert_eq!(read_request(&frame).await, (Err(Broken::Oversize), 4));
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
        let out = Asked::Out { bytes: Vec::new(), deadline: Duration::from_millis(10) };
        codec.write_request(&PROTOCOL, &mut Vec::new(), out).await.unwrap();
        let (protocol, mut silent) = (PROTOCOL, Silent);
        let read = codec.read_response(&protocol, &mut silent);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        assert!(matches!(read, Answered::In(Err(Broken::Late))));
    }

    #[tokio::test]
    async fn a_frame_cut_short_or_of_other_bytes_is_malformed() {
        assert_eq!(read_request(&[0, 0]).await.0, Err(Broken::Malformed));
        assert_eq!(read_request(&[0, 0, 0, 9, b'{']).await.0, Err(Broken::Malformed));
        assert_eq!(read_request(&[0, 0, 0, 2, 0xff, 0xff]).await.0, Err(Broken::Malformed));
        assert_eq!(read_request(&[0, 0, 0, 0]).await.0, Err(Broken::Malformed));
    }
}

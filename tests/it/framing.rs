//! The framings: every chunk size, an adversarial list, and random input against a naive decoder.

use aetherd::server::framing::{Frame, FrameCodec, Framing, MAX_HEADER_BYTES};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

const LIMIT: usize = 20;

fn data(text: &str) -> Frame {
    Frame::Data(Bytes::copy_from_slice(text.as_bytes()))
}

/// Decodes a stream that arrives in chunks of these sizes, over and over.
fn decode(framing: Framing, stream: &[u8], chunks: &[usize]) -> Vec<Frame> {
    let mut codec = FrameCodec::with_limit(framing, LIMIT);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut rest = stream;
    let mut sizes = chunks.iter().cycle();
    while !rest.is_empty() {
        let size = (*sizes.next().expect("a cycle")).clamp(1, rest.len());
        let (chunk, after) = rest.split_at(size);
        buffer.extend_from_slice(chunk);
        rest = after;
        while let Some(frame) = codec.decode(&mut buffer).expect("decoding is total") {
            frames.push(frame);
        }
        assert!(buffer.len() <= LIMIT.max(MAX_HEADER_BYTES) + size, "more is buffered than may be");
    }
    while let Some(frame) = codec.decode_eof(&mut buffer).expect("decoding is total") {
        frames.push(frame);
    }
    frames
}

/// What each stream must come to.
fn adversarial() -> Vec<(Framing, Vec<u8>, Vec<Frame>)> {
    use Framing::{ContentLength, Lines};
    let at_limit = "x".repeat(LIMIT);
    let past_limit = "x".repeat(LIMIT + 1);
    let long_header = format!("X: {}\r\n", "h".repeat(MAX_HEADER_BYTES));
    vec![
        (Lines, b"".to_vec(), vec![]),
        (Lines, b"\n\r\n \n\t\n".to_vec(), vec![]),
        (Lines, b"{}\n[]\n".to_vec(), vec![data("{}"), data("[]")]),
        (Lines, b"{}\r\n{}".to_vec(), vec![data("{}\r"), data("{}")]),
        (Lines, b"\xff\xfe\n{}\n".to_vec(), vec![Frame::Data(Bytes::from_static(b"\xff\xfe")), data("{}")]),
        (Lines, b"a\0b\n".to_vec(), vec![data("a\0b")]),
        (Lines, format!("{at_limit}\n{past_limit}\n{{}}\n").into_bytes(), vec![data(&at_limit), Frame::TooLarge, data("{}")]),
        (Lines, format!("{}\n{{}}", "y".repeat(10 * LIMIT)).into_bytes(), vec![Frame::TooLarge, data("{}")]),
        (Lines, past_limit.clone().into_bytes(), vec![Frame::TooLarge]),
        (ContentLength, b"Content-Length: 2\r\n\r\n{}".to_vec(), vec![data("{}")]),
        (
            ContentLength,
            b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:3\r\n\r\n\r\n\n".to_vec(),
            vec![data("\r\n\n")],
        ),
        (ContentLength, b"Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n1".to_vec(), vec![data(""), data("1")]),
        (ContentLength, b"Content-Length: 5\r\n\r\n{}".to_vec(), vec![]),
        (
            ContentLength,
            format!("Content-Length: {LIMIT}\r\n\r\n{at_limit}Content-Length: {}\r\n\r\n{past_limit}Content-Length: 1\r\n\r\n1", LIMIT + 1)
                .into_bytes(),
            vec![data(&at_limit), Frame::TooLarge, data("1")],
        ),
        (ContentLength, b"Content-Length: 18446744073709551615\r\n\r\n{}".to_vec(), vec![Frame::TooLarge]),
        (
            ContentLength,
            b"Content-Length: 18446744073709551616\r\n\r\n{}".to_vec(),
            vec![Frame::Broken("Content-Length is not a number")],
        ),
        (ContentLength, b"Content-Length: -1\r\n\r\n{}".to_vec(), vec![Frame::Broken("Content-Length is not a number")]),
        (ContentLength, b"Content-Length: +1\r\n\r\n1".to_vec(), vec![Frame::Broken("Content-Length is not a number")]),
        (ContentLength, b"Content-Length:\r\n\r\n".to_vec(), vec![Frame::Broken("Content-Length is not a number")]),
        (ContentLength, b"Content-Type: x\r\n\r\n{}".to_vec(), vec![Frame::Broken("there is no Content-Length")]),
        (ContentLength, b"Content-Length\r\n\r\n{}".to_vec(), vec![Frame::Broken("a header has no colon")]),
        (
            ContentLength,
            b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1".to_vec(),
            vec![Frame::Broken("Content-Length is given twice")],
        ),
        (ContentLength, b"C\xff: 1\r\n\r\n".to_vec(), vec![Frame::Broken("the headers are not ASCII")]),
        (
            ContentLength,
            b"Content-Length: 2\n\n{}".to_vec(),
            vec![Frame::Broken("the lines of the headers must end with CRLF")],
        ),
        (
            ContentLength,
            b"Content-Length: 2\r\n\n{}".to_vec(),
            vec![Frame::Broken("the lines of the headers must end with CRLF")],
        ),
        (ContentLength, full_headers(MAX_HEADER_BYTES), vec![data("1")]),
        (
            ContentLength,
            full_headers(MAX_HEADER_BYTES + 1),
            vec![Frame::Broken("the headers are too long")],
        ),
        (ContentLength, long_header.clone().into_bytes(), vec![Frame::Broken("the headers are too long")]),
        (
            ContentLength,
            format!("{long_header}Content-Length: 1\r\n\r\n1").into_bytes(),
            vec![Frame::Broken("the headers are too long")],
        ),
    ]
}

/// A frame whose headers have just this size, their empty line included.
fn full_headers(bytes: usize) -> Vec<u8> {
    let rest = "Content-Length: 1\r\nX: \r\n\r\n".len();
    format!("Content-Length: 1\r\nX: {}\r\n\r\n1", "h".repeat(bytes - rest)).into_bytes()
}

#[test]
fn every_chunk_size_gives_the_same_frames() {
    for (framing, stream, expected) in adversarial() {
        let sizes = (1..=64).chain([stream.len().max(1)]);
        for size in sizes {
            let frames = decode(framing, &stream, &[size]);
            assert_eq!(
                frames,
                expected,
                "{framing:?}, chunks of {size}: {:?}",
                String::from_utf8_lossy(&stream)
            );
        }
    }
}

#[test]
fn what_is_encoded_decodes_to_itself() {
    for framing in [Framing::Lines, Framing::ContentLength] {
        let mut stream = BytesMut::new();
        for text in ["{}", "[1,\n2\r\n]"] {
            FrameCodec::new(framing)
                .encode(text.to_owned(), &mut stream)
                .expect("encoding is total");
        }
        let second = if framing == Framing::Lines { "[1, 2  ]" } else { "[1,\n2\r\n]" };
        for size in 1..=stream.len() {
            assert_eq!(decode(framing, &stream, &[size]), [data("{}"), data(second)]);
        }
    }
}

/// The lines of a whole stream, as one would write it without a thought for chunks or memory.
fn naive_lines(stream: &[u8]) -> Vec<Frame> {
    stream
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            if line.len() > LIMIT {
                Some(Frame::TooLarge)
            } else if line.iter().all(u8::is_ascii_whitespace) {
                None
            } else {
                Some(Frame::Data(Bytes::copy_from_slice(line)))
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn random_lines_decode_as_the_naive_decoder_says(
        stream in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 2 => Just(b' '), 30 => any::<u8>()], 0..300),
        chunks in proptest::collection::vec(1_usize..50, 1..8),
    ) {
        prop_assert_eq!(decode(Framing::Lines, &stream, &chunks), naive_lines(&stream));
    }

    #[test]
    fn random_bodies_decode_as_they_were_sent(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2 * LIMIT), 0..12),
        chunks in proptest::collection::vec(1_usize..50, 1..8),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for body in bodies {
            stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            stream.extend_from_slice(&body);
            expected.push(if body.len() > LIMIT { Frame::TooLarge } else { Frame::Data(body.into()) });
        }
        prop_assert_eq!(decode(Framing::ContentLength, &stream, &chunks), expected);
    }

    #[test]
    fn random_bytes_never_confuse_the_header_reader(
        stream in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'0'), Just(b'9'), any::<u8>()], 0..200),
        chunks in proptest::collection::vec(1_usize..50, 1..8),
    ) {
        let whole = decode(Framing::ContentLength, &stream, &[stream.len().max(1)]);
        prop_assert_eq!(decode(Framing::ContentLength, &stream, &chunks), whole);
    }
}

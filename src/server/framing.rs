//! The framings of a byte stream: one JSON value a line, or Content-Length (LSP base protocol).
//!
//! A frame is capped while it is read: what is over the limit is skipped, never buffered.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::model::json::join_lines;
use crate::model::limits::MAX_FRAME_BYTES;

/// Bytes of the headers before a Content-Length body, the empty line that ends them included.
pub const MAX_HEADER_BYTES: usize = 4096;
/// What ends the headers: the end of the last one, and an empty line.
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A frame's bytes.
    Data(Bytes),
    /// A frame over the limit. It was skipped; the stream goes on behind it.
    TooLarge,
    /// The stream cannot be followed any more.
    Broken(&'static str),
}

/// How frames are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value a line.
    Lines,
    /// `Content-Length: N`, an empty line, N bytes.
    ContentLength,
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct FrameCodec {
    framing: Framing,
    limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Looking for the end of a line or of the headers; so many bytes were looked at before.
    Seeking { searched: usize },
    /// Skipping a line that is over the limit.
    SkippingLine,
    /// Reading a body.
    Body { length: usize },
    /// Skipping a body that is over the limit.
    SkippingBody { left: u64 },
    /// Nothing more can be read.
    Broken,
}

impl FrameCodec {
    /// Returns a codec with the protocol's limit.
    pub fn new(framing: Framing) -> Self {
        Self::with_limit(framing, MAX_FRAME_BYTES)
    }

    /// Returns a codec with another limit.
    pub fn with_limit(framing: Framing, limit: usize) -> Self {
        Self { framing, limit, state: State::Seeking { searched: 0 } }
    }

    fn next_line(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        loop {
            let State::Seeking { searched } = self.state else {
                return self.skip_line(buffer);
            };
            match find_newline(&buffer[searched..]) {
                Some(at) if searched + at <= self.limit => {
                    let line = buffer.split_to(searched + at).freeze();
                    buffer.advance(1);
                    self.state = State::Seeking { searched: 0 };
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    return Some(Frame::Data(line));
                }
                None if buffer.len() <= self.limit => {
                    self.state = State::Seeking { searched: buffer.len() };
                    return None;
                }
                _ => {
                    self.state = State::SkippingLine;
                    return Some(Frame::TooLarge);
                }
            }
        }
    }

    fn skip_line(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        match find_newline(buffer) {
            None => {
                buffer.clear();
                None
            }
            Some(at) => {
                buffer.advance(at + 1);
                self.state = State::Seeking { searched: 0 };
                self.next_line(buffer)
            }
        }
    }

    fn next_body(&mut self, buffer: &mut BytesMut) -> Option<Frame> {
        loop {
            match self.state {
                State::Seeking { searched } => {
                    let end = match headers_end(buffer, searched) {
                        Err(problem) => return Some(self.broken(problem)),
                        Ok(None) => {
                            self.state = State::Seeking { searched: buffer.len() };
                            return None;
                        }
                        Ok(Some(end)) => end,
                    };
                    let headers = buffer.split_to(end);
                    match content_length(&headers[..end - HEADERS_END.len()]) {
                        Err(problem) => return Some(self.broken(problem)),
                        Ok(length) => match usize::try_from(length) {
                            Ok(length) if length <= self.limit => {
                                self.state = State::Body { length };
                            }
                            _ => {
                                self.state = State::SkippingBody { left: length };
                                return Some(Frame::TooLarge);
                            }
                        },
                    }
                }
                State::Body { length } => {
                    if buffer.len() < length {
                        return None;
                    }
                    self.state = State::Seeking { searched: 0 };
                    return Some(Frame::Data(buffer.split_to(length).freeze()));
                }
                State::SkippingBody { left } => {
                    let skipped = (buffer.len() as u64).min(left);
                    buffer.advance(usize::try_from(skipped).expect("no more than the buffer"));
                    if skipped < left {
                        self.state = State::SkippingBody { left: left - skipped };
                        return None;
                    }
                    self.state = State::Seeking { searched: 0 };
                }
                State::SkippingLine | State::Broken => return None,
            }
        }
    }

    fn broken(&mut self, problem: &'static str) -> Frame {
        self.state = State::Broken;
        Frame::Broken(problem)
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Self::Error> {
        if matches!(self.state, State::Broken) {
            buffer.clear();
            return Ok(None);
        }
        Ok(match self.framing {
            Framing::Lines => self.next_line(buffer),
            Framing::ContentLength => self.next_body(buffer),
        })
    }

    /// A last line needs no newline; a body that was cut off is no frame.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Self::Error> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        let rest = buffer.split().freeze();
        let is_line = self.framing == Framing::Lines && matches!(self.state, State::Seeking { .. });
        self.state = State::Broken;
        let has_text = !rest.iter().all(u8::is_ascii_whitespace);
        Ok((is_line && has_text).then_some(Frame::Data(rest)))
    }
}

impl Encoder<String> for FrameCodec {
    type Error = std::io::Error;

    fn encode(&mut self, json: String, buffer: &mut BytesMut) -> Result<(), Self::Error> {
        match self.framing {
            Framing::Lines => {
                buffer.reserve(json.len() + 1);
                let from = buffer.len();
                buffer.put_slice(json.as_bytes());
                join_lines(&mut buffer[from..]);
                buffer.put_u8(b'\n');
            }
            Framing::ContentLength => {
                let header = format!("Content-Length: {}\r\n\r\n", json.len());
                buffer.reserve(header.len() + json.len());
                buffer.put_slice(header.as_bytes());
                buffer.put_slice(json.as_bytes());
            }
        }
        Ok(())
    }
}

/// Returns where the headers end, their empty line included; `None` where more must be read.
///
/// A line that ends otherwise than with CRLF is told at once: the empty line that a client which
/// writes bare newlines thinks it has sent would be waited for without an end.
fn headers_end(buffer: &[u8], searched: usize) -> Result<Option<usize>, &'static str> {
    let head = &buffer[..buffer.len().min(MAX_HEADER_BYTES)];
    for at in searched..head.len() {
        if head[at] != b'\n' {
            continue;
        }
        let line = &head[..=at];
        if !line.ends_with(b"\r\n") {
            return Err("the lines of the headers must end with CRLF");
        }
        if line.ends_with(HEADERS_END) {
            return Ok(Some(line.len()));
        }
    }
    if head.len() == MAX_HEADER_BYTES { Err("the headers are too long") } else { Ok(None) }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn content_length(headers: &[u8]) -> Result<u64, &'static str> {
    let headers = std::str::from_utf8(headers).map_err(|_| "the headers are not ASCII")?;
    let mut found = None;
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let value = value.trim();
            if !value.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("Content-Length is not a number");
            }
            let length = value.parse().map_err(|_| "Content-Length is not a number")?;
            if found.replace(length).is_some() {
                return Err("Content-Length is given twice");
            }
        }
    }
    found.ok_or("there is no Content-Length")
}

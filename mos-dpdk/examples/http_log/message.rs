//! Where the messages of an HTTP/1 stream begin and end (RFC 9112), and what their heads say.

/// The longest line. An arbitrary figure; servers set less.
const LONGEST_LINE: usize = 16 << 10;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Responses,
}

/// What the reader came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A message's head is complete.
    Head,
    /// The message is.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Fields,
    /// So many octets of the body are left.
    Body(u64),
    ChunkSize,
    /// So many octets of the chunk are left.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// The body ends with the stream.
    UntilEnd,
    /// All was read; the end is to be told.
    Complete,
    /// Something else than HTTP, or something was lost that is needed.
    Blind,
}

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    kind: Kind,
    state: State,
    line: Vec<u8>,
    start_line: String,
    length: Option<u64>,
    chunked: bool,
    body: u64,
}

impl Reader {
    pub(crate) fn new(kind: Kind) -> Self {
        let (line, start_line) = (Vec::new(), String::new());
        Reader { kind, state: State::Start, line, start_line, length: None, chunked: false, body: 0 }
    }

    /// The first line of the message.
    pub(crate) fn start_line(&self) -> &str {
        &self.start_line
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start_line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Octets of the message's body so far, without those that frame it.
    pub(crate) fn body(&self) -> u64 {
        self.body
    }

    /// Whether a message has begun and its end is not known.
    pub(crate) fn is_inside(&self) -> bool {
        !matches!(self.state, State::Start | State::Fields | State::Blind)
    }

    /// Octets up to which the stream is of no interest from here.
    pub(crate) fn skippable(&self) -> u64 {
        match self.state {
            State::Body(left) | State::Chunk(left) => left,
            State::UntilEnd | State::Blind => u64::MAX,
            _ => 0,
        }
    }

    /// Passes over octets that are lost, or of no interest. More than [`Reader::skippable`] makes it blind.
    pub(crate) fn skip(&mut self, octets: u64) {
        let left = self.skippable();
        self.body = self.body.saturating_add(octets);
        self.state = match self.state {
            _ if octets > left => State::Blind,
            State::Body(_) if octets == left => State::Complete,
            State::Body(_) => State::Body(left - octets),
            State::Chunk(_) if octets == left => State::ChunkEnd,
            State::Chunk(_) => State::Chunk(left - octets),
            other => other,
        };
    }

    /// The response whose head was read has no body, whatever the head says.
    pub(crate) fn expect_no_body(&mut self) {
        self.state = State::Complete;
    }

    /// What follows is no HTTP any more.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Blind;
    }

    /// Takes octets up to the next item. Returns how many, and the item; without one, all were taken.
    pub(crate) fn take(&mut self, octets: &[u8]) -> (usize, Option<Item>) {
        let mut taken = 0;
        while self.state != State::Complete {
            let rest = octets.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return (taken, None);
            }
            let skippable = usize::try_from(self.skippable()).unwrap_or(usize::MAX).min(rest.len());
            if skippable > 0 {
                self.skip(skippable as u64);
                taken += skippable;
                continue;
            }
            let end = rest.iter().position(|octet| *octet == b'\n');
            let part = rest.get(..end.map_or(rest.len(), |end| end + 1)).unwrap_or_default();
            taken += part.len();
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST_LINE {
                self.state = State::Blind;
            } else if end.is_some() && self.take_line() {
                return (taken, Some(Item::Head));
            }
        }
        self.state = State::Start;
        (taken, Some(Item::End))
    }

    /// Takes a whole line in. Returns whether it was the last of a head.
    fn take_line(&mut self) -> bool {
        let line = String::from_utf8_lossy(&self.line).trim_end_matches(['\r', '\n']).to_owned();
        self.line.clear();
        let ends_head = self.state == State::Fields && line.is_empty();
        self.state = match self.state {
            State::Start if line.is_empty() => State::Start,
            State::Start => self.begin(line),
            State::Fields if ends_head => self.after_head(),
            State::Fields => self.take_field(&line),
            State::ChunkSize => after_chunk_size(&line),
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Complete,
            State::Trailers => State::Trailers,
            _ => State::Blind,
        };
        ends_head
    }

    fn begin(&mut self, line: String) -> State {
        let is_http = match self.kind {
            Kind::Requests => line.rsplit(' ').next().is_some_and(|word| word.starts_with("HTTP/1.")),
            Kind::Responses => line.starts_with("HTTP/1."),
        };
        (self.length, self.chunked, self.body) = (None, false, 0);
        self.start_line = line;
        if is_http { State::Fields } else { State::Blind }
    }

    fn take_field(&mut self, line: &str) -> State {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            match value.trim().parse() {
                Ok(length) if self.length.is_none_or(|l| l == length) => self.length = Some(length),
                _ => return State::Blind,
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = value.rsplit(',').next().unwrap_or_default().trim();
            self.chunked = last.eq_ignore_ascii_case("chunked");
        }
        State::Fields
    }

    /// How the body ends (RFC 9112, 6.3), as far as the message itself says it.
    fn after_head(&self) -> State {
        let has_none = self.kind == Kind::Responses && matches!(self.status(), 100..200 | 204 | 304);
        match self.length {
            _ if has_none => State::Complete,
            _ if self.chunked => State::ChunkSize,
            Some(0) => State::Complete,
            Some(length) => State::Body(length),
            None if self.kind == Kind::Requests => State::Complete,
            None => State::UntilEnd,
        }
    }
}

fn after_chunk_size(line: &str) -> State {
    let size = line.split(';').next().unwrap_or_default().trim();
    match u64::from_str_radix(size, 16) {
        Ok(0) => State::Trailers,
        Ok(octets) => State::Chunk(octets),
        Err(_) => State::Blind,
    }
}

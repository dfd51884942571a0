//! flowscope: its flow table alone, and its session driver, which hands octets in order to a parser for each connection.

use super::{Input, Purpose, Row, Subject};
use crate::capture::Frames;
use crate::sink::{Checking, Counting, Sink};
use flowscope::extract::{FiveTuple, FiveTupleKey};
use flowscope::session::{GapResponse, SessionDriver, SessionEvent, SessionParser, SessionParserFactory};
use flowscope::{EventMask, FlowSide, FlowTracker, FlowTrackerConfig, PacketView, Timestamp};
use mos_flow::{Instant, Side, Sides};
use std::hint::black_box;
use std::marker::PhantomData;

pub(super) const ROWS: [Row; 2] = [
    Row {
        reads: false,
        ..Row::peer("flowscope-flows", "its flow table alone", |input, _| {
            Ok(Box::new(Flows { input, tracker: None }))
        })
    },
    Row::peer("flowscope", "every octet in order", |input, purpose| {
        Ok(match purpose {
            Purpose::Count => Box::new(Session::<Counting> { input, driver: None, events: Vec::new() }),
            Purpose::Check => Box::new(Session::<Checking> { input, driver: None, events: Vec::new() }),
        })
    }),
];

/// Room for all connections, and no event for each packet.
fn config(input: Input) -> FlowTrackerConfig {
    let mut config = FlowTrackerConfig::default().with_event_filter(EventMask::PACKET);
    config.max_flows = input.connections();
    config
}

fn view(time: Instant, frame: &[u8]) -> PacketView<'_> {
    let (seconds, microseconds) = (time.0 / 1_000_000, time.0 % 1_000_000);
    PacketView::new(frame, Timestamp::new(seconds as u32, microseconds as u32 * 1000))
        .with_wire_len(frame.len())
}

struct Flows {
    input: Input,
    tracker: Option<FlowTracker<FiveTuple>>,
}

impl Subject for Flows {
    fn begin(&mut self) -> Result<(), String> {
        self.tracker = Some(FlowTracker::with_config(FiveTuple::bidirectional(), config(self.input)));
        Ok(())
    }

    fn run(&mut self, frames: Frames<'static>) {
        let Some(tracker) = &mut self.tracker else { return };
        for (time, frame) in frames {
            black_box(tracker.track(view(time, frame)));
        }
    }

    fn finish(&mut self) {
        if let Some(mut tracker) = self.tracker.take() {
            black_box(tracker.finish());
        }
    }
}

struct Session<S: Sink> {
    input: Input,
    driver: Option<SessionDriver<FiveTuple, Factory<S>>>,
    events: Vec<SessionEvent<FiveTupleKey, ()>>,
}

impl<S: Sink> Subject for Session<S> {
    fn begin(&mut self) -> Result<(), String> {
        let driver =
            SessionDriver::with_config(FiveTuple::bidirectional(), Factory(PhantomData), config(self.input));
        self.driver = Some(driver);
        Ok(())
    }

    fn run(&mut self, frames: Frames<'static>) {
        let Some(driver) = &mut self.driver else { return };
        for (time, frame) in frames {
            driver.track_into(view(time, frame), &mut self.events);
            self.events.clear();
        }
    }

    fn finish(&mut self) {
        if let Some(mut driver) = self.driver.take() {
            driver.finish_into(&mut self.events);
        }
        self.events.clear();
    }
}

struct Factory<S>(PhantomData<fn() -> S>);

impl<S: Sink> SessionParserFactory<FiveTupleKey> for Factory<S> {
    type Parser = Parser<S>;

    fn new_parser(&mut self, key: &FiveTupleKey) -> Parser<S> {
        Parser { ends: Sides { client: key.a, server: key.b }, sink: PhantomData }
    }
}

/// Hands on what it is given.
struct Parser<S> {
    /// Which one is the client is told by octets alone.
    ends: Sides<std::net::SocketAddr>,
    sink: PhantomData<fn() -> S>,
}

impl<S: Sink> SessionParser for Parser<S> {
    type Message = ();

    fn feed_initiator(&mut self, octets: &[u8], _: Timestamp, _: &mut Vec<()>) {
        S::data(|| Some(self.ends), Side::Server, octets);
    }

    fn feed_responder(&mut self, octets: &[u8], _: Timestamp, _: &mut Vec<()>) {
        S::data(|| Some(self.ends), Side::Client, octets);
    }

    fn on_gap(&mut self, side: FlowSide, missing: u64, _: Timestamp, _: &mut Vec<()>) -> GapResponse {
        let receiver = if side == FlowSide::Initiator { Side::Server } else { Side::Client };
        S::lost(|| Some(self.ends), receiver, missing);
        GapResponse::Continue
    }
}

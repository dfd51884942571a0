//! A port without a device: nothing comes in, and what goes out is gone.

use super::{Capabilities, Port, PortError, Received, Statistics};
use mos_flow::Frame;

/// The other end of a cable that leads nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Port for Nothing {
    fn receive(&mut self, _deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        Ok(Received::End)
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILE
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

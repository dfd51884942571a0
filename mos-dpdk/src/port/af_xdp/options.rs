//! How an interface is to be used.

/// Where the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver if it can, else in the kernel's network.
    Best,
    /// In the driver.
    Native,
    /// In the kernel's network, of any driver.
    Generic,
}

/// What is done with frames whose sender seems to have left the checksum to its network card: the field of the TCP or UDP
/// checksum is that of the pseudo header alone, as the kernel leaves it.
///
/// Of an intact frame the checksum does not change if it is made again. But one in 65,536 of those that were damaged on a wire,
/// and all that somebody makes up for this purpose, would be taken for good. So where there is a wire they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialChecksums {
    /// It is made for frames of interfaces that have no hardware behind them, and of virtual machines' cards.
    ByDevice,
    /// It is made.
    Complete,
    /// They stay as they are: their receiver will refuse them.
    Keep,
}

/// How frames are exchanged with an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the program runs.
    pub mode: Mode,
    /// In the native mode, have the card use the shared memory if its driver can.
    pub zero_copy: bool,
    /// Frames of each port that memory is for: half of them to receive, half to send.
    pub frames: u32,
    /// Octets of memory for each, 2048 or 4096, of which the kernel uses 256 itself.
    pub frame_size: u32,
    /// Memory in huge pages, of which there must be some.
    pub huge_pages: bool,
    /// The number of queues that the interface is expected to have, one for each worker; `None` is as many as there are. One whose
    /// driver does not tell is taken to have one then.
    pub queues: Option<u32>,
    /// Frames for other hosts, too.
    pub promiscuous: bool,
    /// What is done with checksums that were left to a network card.
    pub partial_checksums: PartialChecksums,
}

impl Default for Options {
    /// The best there is, promiscuous, on all queues; the number of frames is an arbitrary figure.
    fn default() -> Self {
        Options {
            mode: Mode::Best,
            zero_copy: true,
            frames: 8192,
            frame_size: 2048,
            huge_pages: false,
            queues: None,
            promiscuous: true,
            partial_checksums: PartialChecksums::ByDevice,
        }
    }
}

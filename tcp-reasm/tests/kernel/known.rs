//! Differences that have a reason: what Linux does, in which function, and why a monitor does not follow it.

use crate::exchange::{Difference, Last, Outcome};
use crate::script::{Draft, Extra, Mark, Place, Plan, Stamp, Step};
use tcp_reasm::{Anomaly, Flags, Side, State, Verdict};

/// A kind of difference.
struct Class {
    reason: &'static str,
    fits: fn(&Seen<'_>) -> bool,
}

/// A difference and where it came from.
struct Seen<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
    last: &'a Last,
    difference: &'a Difference,
}

/// The reason of a difference, if there is one.
pub(crate) fn known(plan: &Plan, outcome: &Outcome) -> Option<&'static str> {
    let difference = outcome.difference.as_ref()?;
    let seen = Seen { plan, outcome, last: &outcome.last, difference };
    CLASSES.iter().find(|class| (class.fits)(&seen)).map(|class| class.reason)
}

const CLASSES: &[Class] = &[
    Class {
        reason: "a FIN that waits in the kernel's queue while the peer's arrives: CLOSING and LAST-ACK look alike",
        fits: |s| s.outcome.late_fin && s.kernel_or_monitor(&[State::Closing, State::LastAck]),
    },
    Class {
        reason: "a signed first SYN: whether its receiver has a key shows in the answer (tcp_inbound_hash)",
        fits: |s| s.opened() && s.signed() && s.plan.kernel == Side::Server,
    },
    Class {
        reason: "octets behind a FIN that came early move into its place when their buffers are joined \
                 (tcp_ooo_try_coalesce): no honest peer sends them",
        fits: |s| s.sent_fin() && matches!(s.difference, Difference::Octets { .. }),
    },
    Class {
        reason: "Linux's own window reaches beyond the advertised one when that is all a header can say, or was scaled \
                 for a peer that opened at the same time and offered no scale (tcp_select_window)",
        fits: |s| {
            let beyond =
                s.refused(Anomaly::OutOfWindow) && s.last.end == s.last.start && s.last.start < 70_000;
            beyond || s.refused(Anomaly::RstInexact) && s.resets_behind_edge()
        },
    },
    Class {
        reason: "SND.NXT stands for the right edge of what is held early: a RST there counts although the octets before it \
                 had no room (tcp_validate_incoming looks at the blocks that it acknowledged)",
        fits: |s| {
            let reset = matches!(s.difference, Difference::State { monitor: State::Closed, .. });
            reset && s.last.verdict == Some(Verdict::Accept) && s.resets_behind_edge()
        },
    },
    Class {
        reason: "a client takes the echo of what its clock has come to since its SYN (tcp_rcv_synsent_state_process); a \
                 monitor knows what it has sent",
        fits: |s| s.refused(Anomaly::TimestampEcho) && s.was(State::SynSent),
    },
    Class {
        reason: "a bare ACK on the fast path sets TS.Recent before it shows that its acknowledgement is old \
                 (tcp_rcv_established): no honest peer sends it",
        fits: |s| {
            let stamps = |d: &Draft| d.ack.0 == Mark::Isn && matches!(d.stamp, Stamp::Off(n) if n > 0);
            matches!(s.difference, Difference::Octets { .. }) && s.any(|d| d.len == 0 && stamps(d))
        },
    },
    Class {
        reason: "a FIN again, one place further on, moves the end of the stream by one (tcp_rcv_state_process looks at \
                 payload only): no honest peer sends it",
        fits: |s| {
            s.twice(|d| d.flags.has(Flags::FIN))
                && !matches!(s.difference, Difference::Octets { .. })
                && !s.early_fin()
        },
    },
    Class {
        reason: "a RST for what comes after the application has gone stands where that acknowledged \
                 (tcp_v4_send_reset): unless that was all, its receiver does not take it, and nor does a monitor",
        fits: |s| s.outcome.closed && s.last.answers.iter().any(|f| f.has(Flags::RST)) && s.is_over(),
    },
    Class {
        reason: "octets in order are taken whatever they acknowledge when the socket has memory at hand: the fast path of \
                 tcp_rcv_established looks at that after it has queued them; a monitor shows them as a gap",
        fits: |s| s.outcome.refused.contains(&Anomaly::AckTooOld),
    },
    Class {
        reason: "of several FINs a monitor remembers one: the lowest while all wait behind a hole",
        fits: |s| s.twice(|d| d.flags.has(Flags::FIN)) && s.early_fin() && s.ended(),
    },
    Class {
        reason: "octets behind a FIN that came early are joined with it (tcp_ooo_try_coalesce), so that it is not run over",
        fits: |s| s.early_fin() && s.ended(),
    },
    Class {
        reason: "a SYN with FIN, newer than the connection in TIME-WAIT, ends that although it opens no other one \
                 (tcp_timewait_state_process, tcp_v4_rcv)",
        fits: |s| s.has(Flags::SYN | Flags::FIN) && s.goes(State::Closed, State::TimeWait),
    },
    Class {
        reason: "a SYN/ACK with payload completes the handshake of a server, whose socket stays in SYN-RECEIVED all the \
                 same until the next segment (tcp_check_req, tcp_child_process)",
        fits: |s| s.has(Flags::SYN | Flags::ACK) && s.goes(State::SynReceived, State::Established),
    },
    Class {
        reason: "an application that reads late: a RST takes from it what it has not read, and of urgent octets it finds \
                 only the last one out of band (tcp_check_urg); a monitor reads at once",
        fits: |s| {
            let late = s.any_step(&Step::Pause) && matches!(s.difference, Difference::Octets { .. });
            late && s.any(|d| d.flags.any(Flags::RST | Flags::URG))
        },
    },
    Class {
        reason: "FIN-WAIT-2 without an application is kept by a substitute that checks less \
                 (tcp_timewait_state_process); it shows only in its answers",
        fits: |s| s.outcome.closed && s.was(State::FinWait2),
    },
];

impl Seen<'_> {
    fn was(&self, state: State) -> bool {
        self.last.state == Some(state)
    }

    fn has(&self, flags: Flags) -> bool {
        self.last.flags.has(flags)
    }

    fn refused(&self, anomaly: Anomaly) -> bool {
        self.last.verdict == Some(Verdict::Refuse(anomaly))
    }

    fn goes(&self, kernel: State, monitor: State) -> bool {
        *self.difference == Difference::State { kernel, monitor }
    }

    fn kernel_or_monitor(&self, states: &[State]) -> bool {
        match self.difference {
            Difference::State { kernel, monitor } => states.contains(kernel) || states.contains(monitor),
            _ => false,
        }
    }

    /// The kernel says that the connection is over.
    fn is_over(&self) -> bool {
        matches!(self.difference, Difference::State { kernel: State::Closed, .. })
    }

    /// The kernel has seen the end of our stream, the monitor has not.
    fn ended(&self) -> bool {
        matches!(self.difference, Difference::State { kernel, monitor }
            if kernel.has_received_fin() && !monitor.has_received_fin())
    }

    /// A FIN of ours came before octets that precede it.
    fn early_fin(&self) -> bool {
        self.any(|d| d.flags.has(Flags::FIN) && (d.seq.0 != Place::Next || d.seq.1 > 0))
    }

    fn sent_fin(&self) -> bool {
        self.any(|draft| draft.flags.has(Flags::FIN))
    }

    fn any_step(&self, step: &Step) -> bool {
        self.plan.steps.contains(step)
    }

    /// The last segment is a RST behind everything that was sent, some of it at the right edge of the window.
    fn resets_behind_edge(&self) -> bool {
        let last = self.plan.steps.iter().rfind(|step| matches!(step, Step::Segment(_)));
        let resets =
            matches!(last, Some(Step::Segment(d)) if d.flags.has(Flags::RST) && d.seq == (Place::Top, 0));
        resets && self.any(|d| d.seq.0 == Place::Edge)
    }

    /// Whether we sent such a segment.
    fn any(&self, such: impl Fn(&Draft) -> bool) -> bool {
        self.plan.steps.iter().any(|step| matches!(step, Step::Segment(draft) if such(draft)))
    }

    /// The last segment is a SYN that opens.
    fn opened(&self) -> bool {
        self.has(Flags::SYN) && !self.last.flags.any(Flags::ACK | Flags::RST | Flags::FIN)
    }

    fn twice(&self, such: impl Fn(&Draft) -> bool) -> bool {
        let steps = self.plan.steps.iter();
        steps.filter(|step| matches!(step, Step::Segment(draft) if such(draft))).count() > 1
    }

    fn signed(&self) -> bool {
        let last = self.plan.steps.iter().rfind(|step| matches!(step, Step::Segment(_)));
        matches!(last, Some(Step::Segment(draft)) if draft.extras.contains(&Extra::Md5))
    }
}

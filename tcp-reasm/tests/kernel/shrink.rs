//! Makes an exchange that shows a difference as small as it gets.

use crate::exchange::{Difference, Net, Outcome, run};
use crate::script::{Draft, Mark, Place, Plan, Stamp, Step};

/// The least plan that shows the difference. `None` when it does not happen again.
pub(crate) fn shrink(net: &mut Net, plan: &Plan, difference: &Difference) -> Option<(Plan, Outcome)> {
    let shows = |net: &mut Net, plan: &Plan| {
        let outcome = run(net, plan);
        let same = outcome.difference.as_ref().is_some_and(|d| d.is_like(difference));
        same.then_some(outcome)
    };
    let mut best = (plan.clone(), shows(net, plan)?);
    loop {
        let smaller =
            candidates(&best.0).into_iter().find_map(|c| shows(net, &c).map(|outcome| (c, outcome)));
        let Some(smaller) = smaller else { return Some(best) };
        best = smaller;
    }
}

fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    for at in (0..plan.steps.len()).rev() {
        let mut less = plan.clone();
        less.steps.remove(at);
        all.push(less);
    }
    for (at, step) in plan.steps.iter().enumerate() {
        for simpler in simpler(step) {
            let mut less = plan.clone();
            less.steps[at] = simpler;
            all.push(less);
        }
    }
    all
}

fn simpler(step: &Step) -> Vec<Step> {
    match step {
        Step::Segment(draft) => plainer(draft).into_iter().map(Step::Segment).collect(),
        Step::Write(len) if *len > 1 => vec![Step::Write(1), Step::Write(len / 2)],
        _ => Vec::new(),
    }
}

fn plainer(draft: &Draft) -> Vec<Draft> {
    let plain = Draft::new(draft.flags);
    let mut all = Vec::new();
    for len in [0, 1, draft.len / 2] {
        if len < draft.len {
            all.push(Draft { len, ..draft.clone() });
        }
    }
    for at in 0..draft.extras.len() {
        let mut less = draft.clone();
        less.extras.remove(at);
        all.push(less);
    }
    if draft.seq.0 != Place::Isn {
        all.push(Draft { seq: plain.seq, ..draft.clone() });
    }
    if draft.ack.0 != Mark::Zero {
        all.push(Draft { ack: plain.ack, ..draft.clone() });
    }
    all.push(Draft { copy: 0, ..draft.clone() });
    all.push(Draft { window: plain.window, ..draft.clone() });
    all.push(Draft { stamp: Stamp::Right, ..draft.clone() });
    all.push(Draft { urgent: 0, ..draft.clone() });
    all.retain(|d| d != draft);
    all
}

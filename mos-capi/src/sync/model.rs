//! Running models.

/// Runs `scenario` in all orders of its steps with at most `preemptions` switches away from a thread that could go on.
/// `None` for all orders there are.
pub(crate) fn model(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    builder.check(scenario);
}

//! How two texts differ, line by line.

/// Lines around a difference.
const CONTEXT: usize = 2;

/// Lines only in `old` with `-`, only in `new` with `+`, and a few around them.
pub(crate) fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let lines = aligned(&old, &new);
    let changed = |at: usize| lines.get(at).is_some_and(|line| !line.starts_with(' '));
    let near = |at: &usize| (at.saturating_sub(CONTEXT)..=at + CONTEXT).any(changed);
    let shown: Vec<_> = (0..lines.len()).filter(near).collect();
    let parts = shown.chunk_by(|a, b| a + 1 == *b);
    let parts = parts.map(|part| part.iter().map(|at| lines[*at].as_str()).collect::<Vec<_>>().join("\n"));
    parts.collect::<Vec<_>>().join("\n...\n")
}

/// All lines, of a longest common subsequence those with a blank in front.
fn aligned(old: &[&str], new: &[&str]) -> Vec<String> {
    // The length of such a sequence of what is left from each pair of places on.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            common[i][j] =
                if a == b { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

#[test]
fn differences_are_shown_with_what_is_around_them() {
    let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk";
    assert_eq!(diff(old, old), "");
    let new = "a\nb\nc\nD\ne\nf\ng\nh\ni\nj\nj\nk";
    assert_eq!(diff(old, new), "  b\n  c\n- d\n+ D\n  e\n  f\n...\n  i\n  j\n+ j\n  k");
    assert_eq!(diff("", "x"), "+ x");
}

use super::*;
extern crate std;
use std::string::String;

#[test]
fn the_script_holds_on_the_host() {
    let mut transcript = String::new();
    let outcome = run(&mut transcript);
    std::println!("{transcript}");
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_wrong_outcome_is_named_with_what_came_instead() {
    let mut transcript = String::new();
    let outcome = expect(&mut transcript, "seven", 6, 7);
    assert_eq!(outcome, Err(Wrong::Outcome("seven")));
    assert_eq!(transcript, "  WRONG: seven: 6, expected 7\n");
}

#[test]
fn a_transcript_that_cannot_be_written_ends_the_script() {
    struct Full;
    impl Write for Full {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    assert_eq!(run(&mut Full), Err(Wrong::Transcript));
}

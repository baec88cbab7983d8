//! Items, and what people say of them.

use crate::command::{asking, on_terminal, say};
use crate::labelled;

#[test]
fn marks_stand_against_the_rules_and_erasing_asks_first() {
    let daemon = labelled();
    say(&daemon, "mark note n1 note 0 refund is-not").exits(0).tells(&["block 0 of note is not refund"]);
    say(&daemon, "mark note n1 note 1 late is").exits(0);
    say(&daemon, "item note n1").exits(0).tells(&["refund  marked as not so", "late    human"]);
    say(&daemon, "mark note n1 note 9 late is").exits(5).without_data().warns(&["no block 9"]);
    say(&daemon, "mark note n1 note 1 nothing is").exits(5).without_data().warns(&["\"nothing\""]);
    say(&daemon, "erase note n1").exits(2).without_data().warns(&["--yes"]);
    let mut erase = asking(&daemon);
    erase.args(["erase", "note", "n1"]);
    on_terminal(&mut erase, 80, "n\n").exits(1).tells(&["[y/N]", "nothing was erased"]);
    on_terminal(&mut erase, 80, "y\n").exits(0).tells(&["note n1 is erased"]);
    say(&daemon, "item note n1").exits(3);
}

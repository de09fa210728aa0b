//! Scripts: whatever is written in them, nodes print it, or the script is wrong.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rafttest::run_script;

fuzz_target!(|text: &str| {
    // Many nodes, and many commands, take long without showing more.
    let many = text
        .split_whitespace()
        .any(|w| w.len() > 1 && w.bytes().all(|b| b.is_ascii_digit()));
    if text.len() < 2_000 && !many {
        let _ = run_script("fuzz", text);
    }
});

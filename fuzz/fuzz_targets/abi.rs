#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mos_fuzz::run("abi", input));

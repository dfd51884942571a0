//! Tells the linker how each image is laid out; the library and its test are linked as usual.

use std::path::PathBuf;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=memory.x");
    if env::var_os("CARGO_FEATURE_CORTEX_M4").is_some() {
        // link.x of cortex-m-rt includes memory.x, which the linker looks for in its search path.
        let out = PathBuf::from(env::var("OUT_DIR")?);
        fs::copy("memory.x", out.join("memory.x"))?;
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rustc-link-arg-bin=cortex-m4=-Tlink.x");
    }
    if env::var_os("CARGO_FEATURE_FREESTANDING").is_some() {
        // No start files, no libraries, and no loader that would have to relocate the image.
        for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
            println!("cargo:rustc-link-arg-bin=freestanding={arg}");
        }
    }
    Ok(())
}

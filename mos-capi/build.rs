//! Gives the shared library its SONAME, which changes when the interface does in a way that old programs notice, and keeps it
//! loaded.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmos.so.0");
    // Threads, signal handlers and what is called at fork() outlive a dlclose().
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // A program that is linked with libmos.so asks for libmos.so.0 when it starts: let it find that beside the
    // library in cargo's folder. OUT_DIR is PROFILE/build/PACKAGE/out there; elsewhere nothing is done.
    #[cfg(unix)]
    if let Some(profile) = std::env::var_os("OUT_DIR").as_ref().and_then(|d| Path::new(d).ancestors().nth(3))
        && profile.join("deps").is_dir()
    {
        let _ = std::os::unix::fs::symlink("libmos.so", profile.join("libmos.so.0"));
    }
}

//! Compiles the monitor in C.

fn main() {
    println!("cargo:rerun-if-changed=c/monitor.c");
    println!("cargo:rerun-if-changed=../mos-capi/include");
    cc::Build::new().file("c/monitor.c").include("../mos-capi/include").opt_level(2).compile("monitor");
}

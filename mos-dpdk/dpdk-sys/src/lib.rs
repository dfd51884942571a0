//! What the port of `mos-dpdk` on DPDK calls in C: bindings to a small part of DPDK, and a shim for what only C can name.
//!
//! Without the feature `dpdk` there is nothing in it. With it, DPDK 22.11 or later and libclang must be installed. What the
//! functions do, and what their callers owe them, is in DPDK's documentation; what begins with `mos_dpdk_` is in `c/shim.h`.

#[cfg(feature = "dpdk")]
mod bindings {
    #![allow(missing_docs, missing_debug_implementations, unreachable_pub)] // they are generated
    #![allow(non_camel_case_types, non_snake_case, non_upper_case_globals, dead_code, unsafe_op_in_unsafe_fn)]
    #![allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
    #![allow(clippy::semicolon_if_nothing_returned)]

    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

#[cfg(feature = "dpdk")]
pub use bindings::*;

//! Finds DPDK, and makes the bindings to what [`CALLED`](dpdk::CALLED) says. Without the feature `dpdk` nothing is looked for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "dpdk")]
    if let Err(sentence) = dpdk::build() {
        println!("cargo::error={sentence}");
        std::process::exit(1);
    }
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use std::env;
    use std::error::Error;
    use std::panic::{self, AssertUnwindSafe};
    use std::path::PathBuf;
    use std::process::Command;

    /// Its functions and types are stable from here on, of those that are called.
    const OLDEST: &str = "22.11";
    const PACKAGES: &str = "install DPDK 22.11 or later with its headers, and libclang \
                            (on Debian: apt-get install libdpdk-dev libclang-dev pkg-config), or build without the feature dpdk";

    /// Functions: of the library, static ones of its headers, and those of the shim.
    pub(crate) const CALLED: &str = "mos_dpdk_.*|rte_(eal_(cleanup|get_runtime_dir|process_type)|openlog_stream\
        |log_set_global_level|strerror|thread_(un)?register\
        |pktmbuf_(alloc|append|free_bulk|pool_create|read)|mbuf_refcnt_update|mbuf_dyn(field|flag)_lookup\
        |mempool_avail_count\
        |eth_(rx_burst|tx_burst|rx_queue_setup|tx_queue_setup|stats_get|stats_reset|promiscuous_(dis|en)able)\
        |eth_dev_(adjust_nb_rx_tx_desc|close|configure|get_mtu|get_name_by_port|get_port_by_name|info_get|is_removed\
        |is_valid_port|rss_hash_conf_get|rss_hash_update|rss_reta_query|rss_reta_update|socket_id|start|stop)\
        |flow_(create|destroy|validate))";
    const CONSTANTS: &str =
        "MOS_DPDK_.*|RTE_(LOG_(ERR|WARNING)|MAX_ETHPORTS|ETH_NAME_MAX_LEN|PKTMBUF_HEADROOM)";

    pub(crate) fn build() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed=c");
        for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        pkg_config(&[&format!("--atleast-version={OLDEST}")])?;
        // All of it: there is a header to include first, and the processor to build for.
        let flags = pkg_config(&["--cflags"])?;
        let flags: Vec<&str> = flags.split_whitespace().collect();
        println!("cargo::rustc-link-search=native={}", pkg_config(&["--variable=libdir"])?);
        for library in ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"] {
            println!("cargo::rustc-link-lib={library}");
        }
        let out = PathBuf::from(env::var("OUT_DIR")?);
        let statics = out.join("statics");
        bind(&flags, &statics)?.write_to_file(out.join("bindings.rs"))?;
        let mut shim = cc::Build::new();
        shim.files(["c/shim.c".into(), statics.with_extension("c")]).include("c").include(".");
        // What warns is in DPDK's headers.
        shim.opt_level(2).warnings(false);
        for flag in flags {
            shim.flag(flag);
        }
        shim.try_compile("mos_dpdk_shim")?;
        Ok(())
    }

    fn pkg_config(args: &[&str]) -> Result<String, String> {
        let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
        let output = Command::new(program).args(args).arg("libdpdk").output();
        let answer = output.ok().filter(|output| output.status.success());
        let answer = answer.ok_or_else(|| format!("DPDK is not there, or too old: {PACKAGES}"))?;
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    }

    /// The bindings. What is static in headers gets functions that call it, in the file `statics`.
    fn bind(flags: &[&str], statics: &std::path::Path) -> Result<bindgen::Bindings, String> {
        let builder = bindgen::builder()
            .header("c/shim.h")
            .clang_args(flags)
            .allowlist_recursively(true)
            .allowlist_function(CALLED)
            .allowlist_var(CONSTANTS)
            .allowlist_type("rte_flow_item_type|rte_flow_action_type|rte_eth_rss_reta_entry64")
            // Where their fields are differs between versions; the shim looks at them.
            .opaque_type("rte_mbuf|rte_mempool|rte_flow|rte_device|rte_eth_(rxseg|rx_mempool).*|_IO_FILE")
            .default_enum_style(bindgen::EnumVariation::ModuleConsts)
            .derive_default(true)
            .generate_comments(false)
            .layout_tests(false)
            .merge_extern_blocks(true)
            .formatter(bindgen::Formatter::None)
            .wrap_static_fns(true)
            .wrap_static_fns_path(statics);
        // It panics where there is no libclang.
        panic::set_hook(Box::new(|_| ()));
        let generated = panic::catch_unwind(AssertUnwindSafe(|| builder.generate()));
        let _ = panic::take_hook();
        match generated {
            Ok(Ok(bindings)) => Ok(bindings),
            Ok(Err(e)) => Err(format!("DPDK's headers cannot be read ({e}): {PACKAGES}")),
            Err(_) => Err(format!("libclang is not there: {PACKAGES}")),
        }
    }
}

#!/bin/sh
# Installs libmos: headers, libraries, the pkg-config file and manual pages. Needs no cargo.
#
#     cargo build --release -p mos-capi
#     PREFIX=/usr/local mos-capi/install.sh target/release
#
# The argument is the folder with libmos.so and libmos.a. The environment says where things go: PREFIX, in it LIBDIR,
# INCLUDEDIR and MANDIR, and for those who make packages DESTDIR, which goes before each of them. libmtcp.so and
# libmtcp.a are other names of the same libraries, for the makefiles of programs that were written for the mOS stack.
# Where the dynamic linker keeps a list, ldconfig tells it of a new library.
set -eu

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

[ $# = 1 ] || fail "usage: [PREFIX=/usr/local] [DESTDIR=] $0 FOLDER_OF_LIBMOS"
for library in libmos.so libmos.a; do
    [ -f "$1/$library" ] || fail "there is no $1/$library: cargo build --release -p mos-capi makes it"
done
built=$(cd "$1" && pwd)
cd "$(dirname "$0")"

prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
mandir=${MANDIR:-$prefix/share/man}
destdir=${DESTDIR:-}
case $prefix in
/*) ;;
*) fail "PREFIX must begin with /" ;;
esac

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' ../Cargo.toml | head -n 1)
[ -n "$version" ] || fail "no version in Cargo.toml"
soname=$(sed -n 's/.*-soname,\(libmos\.so\.[0-9]*\).*/\1/p' build.rs)
[ -n "$soname" ] || fail "no soname in build.rs"

libs=$destdir$libdir
headers=$destdir$includedir/mos
install -d "$libs/pkgconfig" "$headers/compat"
install -m 644 include/*.h "$headers"
install -m 644 include/compat/*.h "$headers/compat"
install -m 755 "$built/libmos.so" "$libs/libmos.so.$version"
install -m 644 "$built/libmos.a" "$libs/libmos.a"
ln -sf "libmos.so.$version" "$libs/$soname"
ln -sf "$soname" "$libs/libmos.so"
ln -sf libmos.so "$libs/libmtcp.so"
ln -sf libmos.a "$libs/libmtcp.a"

# Of what rustc's --print native-static-libs names, the C compiler adds the rest itself.
cat >"$libs/pkgconfig/mos.pc" <<END
prefix=$prefix
libdir=$libdir
includedir=$includedir/mos
compatdir=\${includedir}/compat

Name: mos
Description: TCP connections followed from the middle: the C interface of the mOS stack
Version: $version
Libs: -L\${libdir} -lmos
Libs.private: -lpthread -ldl -lm
Cflags: -I\${includedir}
END
chmod 644 "$libs/pkgconfig/mos.pc"

for page in man/man[1-9]/*.[1-9]; do
    [ -e "$page" ] || continue # without pages the pattern stands for itself
    section=$mandir/man${page##*.}
    install -d "$destdir$section"
    install -m 644 "$page" "$destdir$section"
done

# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

# @ECLASS: quern-musl.eclass
# @SUPPORTED_EAPIS: 8
# @BLURB: what every C package of this repository needs: the C library, kernel headers, quick configure scripts

case ${EAPI} in
	8) ;;
	*) die "quern-musl: EAPI ${EAPI} is not supported" ;;
esac

DEPEND="sys-kernel/linux-headers sys-libs/musl"
RDEPEND="sys-libs/musl"

# @FUNCTION: quern-musl_native_cc
# @DESCRIPTION: Prints a compiler for programs that run during the build: static, so they need nothing of the machine.
quern-musl_native_cc() {
	echo "${CC} -static"
}

# @FUNCTION: quern-musl_run
# @DESCRIPTION: Prints the command prefix that runs a dynamic program built for the root: its own loader, by name.
quern-musl_run() {
	echo "${ESYSROOT}/lib/ld-musl-x86_64.so.1 --library-path ${ESYSROOT}/usr/lib"
}

# @FUNCTION: quern-musl_src_prepare
# @DESCRIPTION: Gives configure scripts the answers that musl on x86_64 always has, then the default.
quern-musl_src_prepare() {
	cat > "${T}/config.site" <<-'EOF' || die
	# A cross build cannot run its tests; these are the answers of musl.
	ac_cv_func_malloc_0_nonnull=yes
	ac_cv_func_realloc_0_nonnull=yes
	ac_cv_func_calloc_0_nonnull=yes
	EOF
	export CONFIG_SITE="${T}/config.site"
	default
}

EXPORT_FUNCTIONS src_prepare

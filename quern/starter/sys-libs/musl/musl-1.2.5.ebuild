# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

DESCRIPTION="A C library and dynamic linker for Linux"
HOMEPAGE="https://musl.libc.org/"
SRC_URI="
	mirror://debian/pool/main/m/musl/musl_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://musl.libc.org/releases/${P}.tar.gz
"

LICENSE="MIT"
SLOT="0"
KEYWORDS="amd64"

# The headers install without a compiler's help and nothing is linked to anything: no DEPEND.

src_configure() {
	# Not the wrapper: there is no C library for it to use yet, and musl asks gcc for -nostdinc itself.
	local config=(
		CC=gcc
		CFLAGS="${CFLAGS} -ffile-prefix-map=${WORKDIR}=/build"
		LDFLAGS="${LDFLAGS} -Wl,--build-id=none"
		--target="${CHOST}"
		--prefix=/usr
		--syslibdir=/lib
		--disable-gcc-wrapper
	)
	./configure "${config[@]}" || die
}

src_install() {
	emake DESTDIR="${D}" install
	rm "${ED}"/lib/ld-musl-x86_64.so.1 || die
	dosym -r /usr/lib/libc.so /lib/ld-musl-x86_64.so.1
	dosym -r /usr/lib/libc.so /usr/bin/ldd
	dodoc COPYRIGHT README WHATSNEW
}

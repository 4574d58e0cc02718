# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="TLS and cryptography"
HOMEPAGE="https://openssl-library.org/"
SRC_URI="
	mirror://debian/pool/main/o/openssl/openssl_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://github.com/openssl/openssl/releases/download/${P}/${P}.tar.gz
"

LICENSE="Apache-2.0"
SLOT="0/3"
KEYWORDS="amd64"

# The roots that programs trust.
RDEPEND="app-misc/ca-certificates"

src_configure() {
	# Kept: TLS 1.0 to 1.3, and every digest that Python's hashlib names. Left out: what no TLS peer or current
	# certificate asks for, and what needs a plug-in.
	local options=(
		linux-x86_64
		--prefix=/usr
		--libdir=lib
		--openssldir=/etc/ssl
		shared
		threads
		no-async
		no-engine
		no-legacy
		no-module
		no-tests
		no-afalgeng
		no-aria
		no-bf
		no-camellia
		no-cast
		no-cmp
		no-cms
		no-dtls
		no-ec2m
		no-gost
		no-idea
		no-ktls
		no-md4
		no-mdc2
		no-rc2
		no-rc4
		no-sctp
		no-seed
		no-sm2
		no-sm4
		no-srp
		no-ssl-trace
		no-ts
		no-whirlpool
		enable-ec_nistp_64_gcc_128
	)
	# The cross names are in CC, AR, ... already.
	CROSS_COMPILE= perl ./Configure "${options[@]}" CFLAGS="${CFLAGS}" LDFLAGS="${LDFLAGS}" || die
}

src_compile() {
	# Not build_libs: it compiles every file once more for static libraries.
	emake build_generated
	emake libcrypto.so libssl.so libcrypto.pc libssl.pc openssl.pc
}

src_install() {
	dolib.so libcrypto.so.3 libssl.so.3
	dosym libcrypto.so.3 /usr/lib/libcrypto.so
	dosym libssl.so.3 /usr/lib/libssl.so
	insinto /usr/include/openssl
	doins include/openssl/*.h
	insinto /usr/lib/pkgconfig
	doins libcrypto.pc libssl.pc openssl.pc
	insinto /etc/ssl
	doins apps/openssl.cnf
	dodoc CHANGES.md NEWS.md README.md
}

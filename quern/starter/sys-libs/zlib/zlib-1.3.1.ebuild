# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

# Debian leaves contrib/ out of its archive, so upstream's has other bytes; what is built is the same.
MY_ORIG="zlib_1.3.dfsg+really${PV}.orig.tar.gz"

DESCRIPTION="The deflate compression library"
HOMEPAGE="https://zlib.net/"
SRC_URI="mirror://debian/pool/main/z/zlib/${MY_ORIG}"

LICENSE="ZLIB"
SLOT="0/1"
KEYWORDS="amd64"
IUSE="static-libs"

src_configure() {
	# Not autoconf's. uname keeps the building machine's name out of its choices.
	CHOST="${CHOST}" uname=Linux ./configure --prefix=/usr --libdir=/usr/lib || die
}

src_install() {
	emake DESTDIR="${D}" LDCONFIG=: install
	use static-libs || rm "${ED}"/usr/lib/libz.a || die
	dodoc ChangeLog FAQ README
}

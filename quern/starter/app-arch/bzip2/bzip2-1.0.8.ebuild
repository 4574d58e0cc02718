# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="The bzip2 compressor and its library"
HOMEPAGE="https://sourceware.org/bzip2/"
SRC_URI="
	mirror://debian/pool/main/b/bzip2/bzip2_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://sourceware.org/pub/bzip2/${P}.tar.gz
"

LICENSE="BZIP2"
SLOT="0/1"
KEYWORDS="amd64"
IUSE="static-libs"

src_compile() {
	# Two makefiles share object names: the static library comes from the shared one's objects.
	emake -f Makefile-libbz2_so CC="${CC} ${LDFLAGS}" CFLAGS="${CFLAGS} -fPIC -D_FILE_OFFSET_BITS=64" all
	emake CC="${CC} ${LDFLAGS}" CFLAGS="${CFLAGS} -D_FILE_OFFSET_BITS=64" bzip2recover
	if use static-libs; then
		${AR} rc libbz2.a blocksort.o huffman.o crctable.o randtable.o compress.o decompress.o bzlib.o || die
	fi
}

src_install() {
	newbin bzip2-shared bzip2
	dosym bzip2 /usr/bin/bunzip2
	dosym bzip2 /usr/bin/bzcat
	dobin bzip2recover bzdiff bzgrep bzmore
	dosym bzdiff /usr/bin/bzcmp
	dolib.so libbz2.so.${PV}
	dosym libbz2.so.${PV} /usr/lib/libbz2.so.1.0
	dosym libbz2.so.${PV} /usr/lib/libbz2.so
	use static-libs && dolib.a libbz2.a
	doheader bzlib.h
	doman bzip2.1 bzdiff.1 bzgrep.1 bzmore.1
	dodoc CHANGES README
}

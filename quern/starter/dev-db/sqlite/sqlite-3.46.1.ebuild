# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="An SQL database in a library (the library only, not its shell)"
HOMEPAGE="https://sqlite.org/"
# Upstream's source tree as Debian packs it. The one-file source that upstream offers is in no pool, and making it
# needs Tcl; compiling file by file keeps every core busy instead of one.
SRC_URI="mirror://debian/pool/main/s/sqlite3/sqlite3_${PV}.orig.tar.xz"
S="${WORKDIR}/sqlite3-${PV}"

LICENSE="public-domain"
SLOT="0/3"
KEYWORDS="amd64"
IUSE="static-libs"

src_configure() { :; }

src_compile() {
	local native="$(quern-musl_native_cc) -O1"
	local features="-DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_FTS3
		-DSQLITE_ENABLE_FTS3_PARENTHESIS -DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS
		-DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_STMTVTAB -DSQLITE_ENABLE_UNLOCK_NOTIFY -DSQLITE_SECURE_DELETE"

	mkdir generated || die
	${native} -o lemon tool/lemon.c || die "cannot compile lemon"
	${native} ${features} -o mkkeywordhash tool/mkkeywordhash.c || die "cannot compile mkkeywordhash"
	./mkkeywordhash > generated/keywordhash.h || die
	./lemon -Ttool/lempar.c -dgenerated -s ${features} src/parse.y || die
	./lemon -Ttool/lempar.c -dgenerated -s ext/fts5/fts5parse.y || die
	perl "${FILESDIR}"/generate.pl . generated || die
	emake -f "${FILESDIR}"/Makefile FEATURES="${features//[$'\n\t']/ }" libsqlite3.so.0.8.6 \
		$(usex static-libs libsqlite3.a '')
}

src_install() {
	dolib.so libsqlite3.so.0.8.6
	dosym libsqlite3.so.0.8.6 /usr/lib/libsqlite3.so.0
	dosym libsqlite3.so.0.8.6 /usr/lib/libsqlite3.so
	use static-libs && dolib.a libsqlite3.a
	doheader generated/sqlite3.h src/sqlite3ext.h
	sed -e 's:@prefix@:/usr:; s:@exec_prefix@:/usr:; s:@libdir@:/usr/lib:; s:@includedir@:/usr/include:' \
		-e "s:@RELEASE@:${PV}:; s:@PACKAGE_VERSION@:${PV}:; s:@LIBS@::" sqlite3.pc.in > sqlite3.pc || die
	insinto /usr/lib/pkgconfig
	doins sqlite3.pc
	dodoc README.md
}

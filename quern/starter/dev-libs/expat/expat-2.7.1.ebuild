# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

# expat's own archives are replaced in the pool by every security update, so its three source files are taken from
# the archive that the python package needs anyway, which carries this release of expat.
MY_PYTHON="3.13.5"

DESCRIPTION="An XML parser"
HOMEPAGE="https://libexpat.github.io/"
SRC_URI="
	mirror://debian/pool/main/p/python3.13/python3.13_${MY_PYTHON}.orig.tar.xz -> Python-${MY_PYTHON}.tar.xz
	https://www.python.org/ftp/python/${MY_PYTHON}/Python-${MY_PYTHON}.tar.xz
"
S="${WORKDIR}/Python-${MY_PYTHON}/Modules/expat"

LICENSE="MIT"
SLOT="0/1"
KEYWORDS="amd64"

# As libtool would number this release.
LIBRARY="libexpat.so.1.10.2"

src_unpack() {
	tar -xJf "${DISTDIR}/${A}" "Python-${MY_PYTHON}/Modules/expat" || die
}

src_prepare() {
	# CPython's copy gives every symbol a prefix of its own; this undoes it.
	sed -i '/#include "pyexpatns.h"/d' expat_external.h || die
	cat > expat_config.h <<-'EOF' || die
	#define BYTEORDER 1234
	#define HAVE_GETRANDOM 1
	#define HAVE_SYSCALL_GETRANDOM 1
	#define XML_CONTEXT_BYTES 1024
	#define XML_DEV_URANDOM 1
	#define XML_DTD 1
	#define XML_GE 1
	#define XML_NS 1
	EOF
	quern-musl_src_prepare
}

src_compile() {
	local command=(
		${CC} ${CPPFLAGS} ${CFLAGS} -fPIC -fvisibility=hidden -DXML_ENABLE_VISIBILITY=1 -DHAVE_EXPAT_CONFIG_H
		${LDFLAGS} -shared -Wl,-soname,libexpat.so.1 -o "${LIBRARY}" xmlparse.c xmlrole.c xmltok.c
	)
	echo "${command[@]}"
	"${command[@]}" || die "cannot compile expat"
	sed 's/^\t//' > expat.pc <<-EOF || die
	prefix=/usr
	libdir=\${prefix}/lib
	includedir=\${prefix}/include

	Name: expat
	Description: ${DESCRIPTION}
	URL: ${HOMEPAGE}
	Version: ${PV}
	Libs: -L\${libdir} -lexpat
	Cflags: -I\${includedir}
	EOF
}

src_install() {
	dolib.so "${LIBRARY}"
	dosym "${LIBRARY}" /usr/lib/libexpat.so.1
	dosym "${LIBRARY}" /usr/lib/libexpat.so
	doheader expat.h expat_external.h expat_config.h
	insinto /usr/lib/pkgconfig
	doins expat.pc
	dodoc COPYING
}

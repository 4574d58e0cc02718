# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="The library for editing a command line"
HOMEPAGE="https://tiswww.case.edu/php/chet/readline/rltop.html"
SRC_URI="
	mirror://debian/pool/main/r/readline/readline_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://ftp.gnu.org/gnu/readline/${P}.tar.gz
"

LICENSE="GPL-3+"
SLOT="0/8"
KEYWORDS="amd64"

DEPEND="sys-libs/ncurses:="
RDEPEND="${DEPEND}"

src_configure() {
	# The answer names the library to link to; asked in a cross build, the script would guess termcap.
	bash_cv_termcap_lib=libncursesw econf --disable-static --disable-install-examples --with-curses
}

src_compile() {
	emake SHLIB_LIBS=-lncursesw shared
}

src_install() {
	emake SHLIB_LIBS=-lncursesw DESTDIR="${D}" install-shared
	emake DESTDIR="${D}" -C doc install
	dodoc CHANGES NEWS README
}

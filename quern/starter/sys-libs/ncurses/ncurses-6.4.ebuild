# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="The library for text screens and its terminal descriptions"
HOMEPAGE="https://invisible-island.net/ncurses/"
SRC_URI="
	mirror://debian/pool/main/n/ncurses/ncurses_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://invisible-island.net/archives/ncurses/${P}.tar.gz
"

LICENSE="MIT"
SLOT="0/6"
KEYWORDS="amd64"
IUSE="all-terminals"

# What people sit in front of, or what a container is given by its engine.
COMMON_TERMINALS="
	alacritty ansi dumb linux putty putty-256color rxvt rxvt-unicode rxvt-unicode-256color screen screen-256color
	st st-256color sun tmux tmux-256color vt100 vt102 vt220 xterm xterm-256color xterm-color xterm-kitty kitty
	foot konsole konsole-256color vte vte-256color
"

src_configure() {
	local options=(
		--with-build-cc="$(quern-musl_native_cc)"
		--with-shared
		--without-normal
		--without-debug
		--without-profile
		--without-cxx
		--without-cxx-binding
		--without-ada
		--without-tests
		--enable-widec
		--enable-overwrite
		--disable-stripping
		--disable-db-install
		--disable-rpath
		--with-default-terminfo-dir=/usr/share/terminfo
		--with-terminfo-dirs=/etc/terminfo:/usr/share/terminfo
		--with-manpage-format=normal
		--without-manpage-renames
		--without-pkg-config
	)
	econf "${options[@]}"
}

src_install() {
	emake DESTDIR="${D}" install.libs install.includes install.man

	# The programs' names that busybox has too (clear, reset, tset) are left to it.
	dobin progs/{infocmp,tabs,tic,toe,tput}
	dosym tic /usr/bin/captoinfo
	dosym tic /usr/bin/infotocap
	local library
	for library in form menu ncurses panel; do
		dosym "lib${library}w.so" "/usr/lib/lib${library}.so"
	done
	dosym libncursesw.so /usr/lib/libcurses.so

	# The tic just built, run by the root's loader: the machine's may be of another release.
	local run="$(quern-musl_run)" terminals=( ${COMMON_TERMINALS} ) source=misc/terminfo.src
	local tic=( ${run/--library-path /--library-path ${S}/lib:} progs/tic -x )
	if ! use all-terminals; then
		# -r resolves what an entry takes from others, which are left out.
		source="${T}"/common.src
		"${tic[@]}" -I -r -e "$(IFS=,; echo "${terminals[*]}")" misc/terminfo.src > "${source}" || die
	fi
	dodir /usr/share/terminfo
	"${tic[@]}" -o "${ED}"/usr/share/terminfo "${source}" || die
	dodoc ANNOUNCE NEWS README
}

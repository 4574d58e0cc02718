# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="The xz compressor and its library"
HOMEPAGE="https://tukaani.org/xz/"
SRC_URI="
	mirror://debian/pool/main/x/xz-utils/xz-utils_${PV}.orig.tar.xz -> xz-${PV}.tar.xz
	https://github.com/tukaani-project/xz/releases/download/v${PV}/xz-${PV}.tar.xz
"
S="${WORKDIR}/xz-${PV}"

LICENSE="0BSD LGPL-2.1+ GPL-2+"
SLOT="0"
KEYWORDS="amd64"
IUSE="static-libs"

src_configure() {
	local options=(
		$(use_enable static-libs static)
		--disable-lzmadec
		--disable-lzmainfo
		--disable-nls
		--disable-rpath
		--disable-doc
		# They would be run by the shell that configure finds on the building machine.
		--disable-scripts
	)
	econf "${options[@]}"
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
}

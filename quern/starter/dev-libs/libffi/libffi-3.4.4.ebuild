# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="Calls functions whose signature is known only at run time"
HOMEPAGE="https://sourceware.org/libffi/"
SRC_URI="
	mirror://debian/pool/main/libf/libffi/libffi_${PV}.orig.tar.gz -> ${P}.tar.gz
	https://github.com/libffi/libffi/releases/download/v${PV}/${P}.tar.gz
"

LICENSE="MIT"
SLOT="0/8"
KEYWORDS="amd64"

src_configure() {
	econf --disable-static --disable-multi-os-directory
}

src_install() {
	default
	find "${ED}" -name '*.la' -delete || die
}

# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

DESCRIPTION="Which file name extension is which media type: /etc/mime.types"
HOMEPAGE="https://www.iana.org/assignments/media-types/"
SRC_URI="mirror://debian/pool/main/m/media-types/media-types_${PV}_all.deb"
S="${WORKDIR}"

LICENSE="public-domain"
SLOT="0"
KEYWORDS="amd64"

src_unpack() {
	default
	unpack ./data.tar.xz
}

src_install() {
	insinto /etc
	doins etc/mime.types
}

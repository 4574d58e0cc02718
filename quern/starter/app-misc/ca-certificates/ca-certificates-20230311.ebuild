# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

# Mozilla's roots as in Debian 12, whose pool no longer changes. A newer file would be gone at the next update.
MY_DEB="ca-certificates_${PV}+deb12u1_all.deb"

DESCRIPTION="The certificate authorities that Mozilla trusts, as one file"
HOMEPAGE="https://wiki.mozilla.org/CA"
SRC_URI="mirror://debian/pool/main/c/ca-certificates/${MY_DEB}"
S="${WORKDIR}"

LICENSE="MPL-2.0"
SLOT="0"
KEYWORDS="amd64"

src_unpack() {
	default
	unpack ./data.tar.xz
}

src_compile() {
	# Sorted by name in every locale; awk sees to it that no certificate starts on the end of another's last line.
	local LC_ALL=C
	awk 1 usr/share/ca-certificates/mozilla/*.crt > ca-certificates.crt || die
}

src_install() {
	insinto /etc/ssl/certs
	doins ca-certificates.crt
	# Where OpenSSL looks without being told.
	dosym certs/ca-certificates.crt /etc/ssl/cert.pem
}

EAPI=8
DESCRIPTION="Owners, where root builds; empty folders"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
DEPEND="lab/layout"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	[[ ${EUID} = 0 ]] && { chown owner:owner "${ED}/usr/share/lab/owners" || die; }
	dodir /srv/empty
	keepdir /srv/kept
}

EAPI=8
DESCRIPTION="Owners, where root builds; empty folders"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	[[ ${EUID} = 0 ]] && { chown 123:45 "${ED}/usr/share/lab/owners" || die; }
	dodir /srv/empty
	keepdir /srv/kept
}

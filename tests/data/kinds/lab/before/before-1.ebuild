EAPI=8
DESCRIPTION="Wants another one to be merged after it"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
PDEPEND="lab/after"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
}

EAPI=8
DESCRIPTION="Only pkg_setup"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
}

pkg_setup() {
	FOUND=$(has_version -r lab/layout && echo yes)
}

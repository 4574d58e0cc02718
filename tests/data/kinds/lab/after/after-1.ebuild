EAPI=8
DESCRIPTION="Needs the one before"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/before"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
}

pkg_postinst() {
	[[ -e ${EROOT}/usr/share/lab/before ]] || die "merged before what it needs"
}

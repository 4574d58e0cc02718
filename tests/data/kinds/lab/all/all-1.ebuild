EAPI=8
DESCRIPTION="All phases, with a variable that goes from one to the next"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/postinst"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
}

pkg_setup() {
	SAVED="from setup"
}

pkg_preinst() {
	SAVED+=" preinst"
	[[ ! -e ${EROOT}/usr/share/lab/all ]] || die "merged before pkg_preinst"
}

pkg_postinst() {
	echo "${SAVED} postinst" > "${EROOT}/var/made/saved" || die
	cat "${EROOT}/usr/share/lab/all" > "${EROOT}/var/made/all" || die "not merged before pkg_postinst"
}

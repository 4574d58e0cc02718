EAPI=8
DESCRIPTION="Changes D in pkg_preinst"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/layout"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	newman - preinst.1 <<< page
}

pkg_preinst() {
	echo "${PF} ${MERGE_TYPE} ${REPLACING_VERSIONS}" > "${ED}/usr/share/lab/added" || die
	rm "${ED}/usr/share/man/man1/preinst.1" || die
}

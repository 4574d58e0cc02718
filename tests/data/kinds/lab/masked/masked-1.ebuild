EAPI=8
DESCRIPTION="What INSTALL_MASK of the profile is about"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	local share="${ED}/usr/share"
	mkdir -p "${share}"/{doc/lab,mine} "${ED}/usr/lib" || die
	touch "${share}"/doc/lab/{a,b.keepme} "${share}/mine/x.la" "${ED}/usr/lib/y.la" || die
}

EAPI=8
DESCRIPTION="Hard and symbolic links"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	cd "${ED}/usr/share/lab" || die
	echo 1 > one || die
	mkdir sub || die
	ln one two || die
	ln one sub/three || die
	ln -s nowhere dangling || die
	ln -s one to-one || die
	ln -s /usr/share/lab/one absolute || die
	ln -s sub folder || die
}

EAPI=8
DESCRIPTION="Installs into a folder that is a link in the root"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/layout"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	mkdir "${ED}/lib" || die
	echo x > "${ED}/lib/follows.so" || die
	keepdir /lib/empty
}

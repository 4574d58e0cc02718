EAPI=8
DESCRIPTION="Many files"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	local number
	mkdir "${ED}/usr/share/lab/numbers" || die
	for ((number = 0; number < 500; number++)); do
		echo ${number} > "${ED}/usr/share/lab/numbers/f${number}" || die
	done
}

EAPI=8
DESCRIPTION="Names that are hard to write down"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	local long name where="${ED}/usr/share/lab/odd"
	long=$(printf '%060d/' 1 2 3 4 5)
	mkdir -p "${where}/${long}" || die
	echo x > "${where}/${long}/file" || die
	for name in "with space" "-> arrow" "quote'\"" "ünïcode" 'back\slash' "[glob]*" $'tab\there' " lead" "trail "; do
		echo x > "${where}/${name}" || die
	done
}

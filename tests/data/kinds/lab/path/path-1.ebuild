EAPI=8
DESCRIPTION="Variables for every shell"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	newenvd - 10one <<-'EOF'
			PATH="/opt/one/bin:/opt/two/bin"
			LANG="C"
			ONE=$HOME
	EOF
}

EAPI=8
DESCRIPTION="More variables, some of which add to those of others"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	newenvd - 20two <<-'EOF'
			LDPATH=/opt/lib
			PATH=/opt/two/bin
			COLON_SEPARATED=MY_PATH
			MY_PATH=a:b
			CONFIG_PROTECT="/opt/etc /x"
	EOF
	newenvd - README <<< "no variable: its name does not begin with digits"
}

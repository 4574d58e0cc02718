EAPI=8
DESCRIPTION="Modes and times"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	local mode
	cd "${ED}/usr/share/lab" || die
	for mode in 4711 4755 2755 6755 0600 0444 0000; do
		echo x > "m${mode}" || die
		chmod "${mode}" "m${mode}" || die
	done
	mkdir closed sticky || die
	chmod 0500 closed || die
	chmod 1777 sticky || die
	head -c 102400 /dev/zero > zeros || die
	touch -d 2001-02-03 old || die
	touch empty || die
}

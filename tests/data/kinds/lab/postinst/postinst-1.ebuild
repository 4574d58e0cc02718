EAPI=8
DESCRIPTION="Changes the root in pkg_postinst, as acct-user packages do"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/layout"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
}

pkg_postinst() {
	echo lab:x:500:500::/:/bin/false >> "${EROOT}/etc/passwd" || die
	mkdir -p "${EROOT}/var/made" || die
	best_version -r lab/layout > "${EROOT}/var/made/best" || die
	ln -s best "${EROOT}/var/made/link" || die
	touch "${EROOT}/etc/.pwd.lock" || die
}

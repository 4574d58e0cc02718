EAPI=8
DESCRIPTION="A link to a folder, into which others install, and accounts"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"

src_install() {
	insinto /usr/share/lab
	newins - "${PN}" <<< "${PF}"
	dodir /usr/lib
	dosym usr/lib /lib
	insinto /etc
	newins - passwd <<< $'root:x:0:0::/:/bin/sh\nowner:x:123:45::/:/bin/false'
	newins - group <<< $'root:x:0:\nowner:x:45:'
}

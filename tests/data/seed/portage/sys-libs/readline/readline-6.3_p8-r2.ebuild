EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="0/6"
KEYWORDS="amd64"
RDEPEND="
	sys-libs/ncurses:0=
	sys-libs/ncurses:5=
"
DEPEND="${RDEPEND}"

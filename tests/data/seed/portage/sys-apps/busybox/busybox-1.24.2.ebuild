EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="0"
KEYWORDS="amd64"
RDEPEND="virtual/libc"
DEPEND="${RDEPEND}"

EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="5"
KEYWORDS="amd64"
RDEPEND="virtual/libc"
DEPEND="${RDEPEND}"

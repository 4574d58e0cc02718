EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="3.5/3.5m"
KEYWORDS="amd64"
RDEPEND="virtual/libc"
DEPEND="${RDEPEND}"

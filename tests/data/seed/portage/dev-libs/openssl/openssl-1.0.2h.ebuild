EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="0"
KEYWORDS="amd64"
IUSE="+ca"
RDEPEND="sys-libs/zlib:="
DEPEND="${RDEPEND}"
PDEPEND="ca? ( app-misc/ca-certificates )"

EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="0"
KEYWORDS="amd64"
IUSE="glibc musl"
RDEPEND="
	glibc? ( sys-libs/glibc )
	musl? ( sys-libs/musl )
	!musl? ( sys-libs/glibc )
"
DEPEND="${RDEPEND}"

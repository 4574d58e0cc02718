EAPI=8
DESCRIPTION="No files at all, and a blocker"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
S="${WORKDIR}"
RDEPEND="lab/setup !lab/absent"

EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="0"
KEYWORDS="amd64"
IUSE="python_targets_python2_7 python_targets_python3_4"
RDEPEND="
	app-misc/c_rehash
	sys-apps/debianutils
	python_targets_python2_7? ( dev-lang/python:2.7 )
"
DEPEND="${RDEPEND}"

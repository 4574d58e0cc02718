EAPI=8

inherit nothing

DESCRIPTION="Installs nothing"
HOMEPAGE="https://example.org/"
LICENSE="none"
SLOT="3.4/3.4m"
KEYWORDS="amd64"
IUSE="+readline +ssl sqlite +xml"
RDEPEND="
	app-arch/bzip2:=
	app-arch/xz-utils:=
	app-misc/mime-types
	sys-libs/zlib:=
	virtual/libc
	virtual/libffi:=
	virtual/libintl
	readline? ( sys-libs/ncurses:0= sys-libs/readline:= )
	sqlite? ( dev-db/sqlite:3= )
	ssl? ( dev-libs/openssl:= )
	xml? ( dev-libs/expat:= )
"
DEPEND="${RDEPEND}"
PDEPEND="
	app-admin/python-updater
	>=app-eselect/eselect-python-20110101
"

# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="A program that says hello, to try an image with"
S="${WORKDIR}"

LICENSE="BSD"
SLOT="0"
KEYWORDS="amd64"
IUSE="static"

src_compile() {
	local command=(
		${CC} ${CPPFLAGS} ${CFLAGS} ${LDFLAGS} $(usex static -static '')
		-o hello-quern "${FILESDIR}"/hello-quern.c
	)
	echo "${command[@]}"
	"${command[@]}" || die "cannot compile hello-quern.c"
}

src_install() {
	dobin hello-quern
}

# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

# Debian's headers for cross compilers: unlike those of the kernel package, this file of the pool is never replaced.
MY_DEB="linux-libc-dev-amd64-cross_${PV}-1cross1_all.deb"

DESCRIPTION="The Linux kernel's headers for user space"
HOMEPAGE="https://www.kernel.org/"
SRC_URI="mirror://debian/pool/main/c/cross-toolchain-base/${MY_DEB}"
S="${WORKDIR}"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64"

src_unpack() {
	default
	unpack ./data.tar.xz
}

src_compile() { :; }

src_install() {
	# The C library has its own scsi headers.
	rm -r usr/x86_64-linux-gnu/include/scsi || die
	insinto /usr
	doins -r usr/x86_64-linux-gnu/include
}

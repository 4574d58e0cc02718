# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

DESCRIPTION="Folders, users and groups that every root starts with"
S="${WORKDIR}"

LICENSE="BSD"
SLOT="0"
KEYWORDS="amd64"

src_install() {
	keepdir /bin /dev /etc /home /lib /mnt /opt /proc /run /sbin /srv /sys
	keepdir /usr/{bin,lib,sbin,share} /usr/local/{bin,lib,sbin,share}
	keepdir /var/{cache,empty,lib,local,log,opt,spool}

	diropts -m 0700
	keepdir /root
	diropts -m 1777
	keepdir /tmp /var/tmp
	diropts -m 0755
	dosym ../run /var/run

	insinto /etc
	doins "${FILESDIR}"/{group,hosts,os-release,passwd,profile,protocols,services,shells}
	insopts -m 0600
	doins "${FILESDIR}"/shadow
}

# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

DESCRIPTION="The shell and the small versions of common tools in one program"
HOMEPAGE="https://www.busybox.net/"
SRC_URI="
	mirror://debian/pool/main/b/busybox/busybox_${PV}.orig.tar.bz2 -> ${P}.tar.bz2
	https://www.busybox.net/downloads/${P}.tar.bz2
"

LICENSE="GPL-2"
SLOT="0"
KEYWORDS="amd64"
IUSE="+make-symlinks static"

# Left out: what app-arch/bzip2 and app-arch/xz-utils own (a collision drops a whole package from the image),
# what musl or today's kernel headers do not support (tc, utmp), and what a container has no use for.
BUSYBOX_OFF="
	BZIP2 BUNZIP2 BZCAT LZMA UNLZMA LZCAT XZ UNXZ XZCAT DPKG DPKG_DEB RPM RPM2CPIO AR
	TC FEATURE_UTMP FEATURE_WTMP LAST WHO W USERS MESG WALL RUNLEVEL
	ADJTIMEX BOOTCHARTD BRCTL CHAT CONSPY CROND CRONTAB ACPID BEEP DC DEVMEM DEVFSD FBSET FBSPLASH FDFORMAT FDISK
	FATATTR FLASHCP FLASH_ERASEALL FLASH_LOCK FLASH_UNLOCK FREERAMDISK FSCK FSCK_MINIX FSFREEZE HDPARM HEXEDIT
	HWCLOCK I2CGET I2CSET I2CDUMP I2CDETECT I2CTRANSFER INOTIFYD LSSCSI MAKEDEVS MICROCOM MT NANDWRITE NANDDUMP
	PARTPROBE RAIDAUTORUN READAHEAD RFKILL RX SEEDRNG SETSERIAL TS UBIATTACH UBIDETACH UBIMKVOL UBIRMVOL UBIRSVOL
	UBIUPDATEVOL UBIRENAME VOLNAME WATCHDOG MDEV MKE2FS MKFS_EXT2 MKFS_MINIX MKFS_REISER MKFS_VFAT MKSWAP TUNE2FS
	NBDCLIENT SWAPON SWAPOFF SWITCH_ROOT PIVOT_ROOT FDFLUSH FINDFS READPROFILE RTCWAKE ACPID EJECT
	BLKDISCARD BLKID BLOCKDEV LOSETUP FSTRIM
	DEPMOD INSMOD LSMOD MODINFO MODPROBE MODPROBE_SMALL RMMOD
	INIT LINUXRC HALT POWEROFF REBOOT GETTY SULOGIN VLOCK LOGIN
	MAKEMIME POPMAILDIR REFORMIME SENDMAIL LPD LPQ LPR
	RUNSV RUNSVDIR SV SVC SVOK SVLOGD CHPST SETUIDGID ENVUIDGID ENVDIR SOFTLIMIT
	KLOGD LOGREAD SYSLOGD
	CHVT CLEAR_CONSOLE DEALLOCVT DUMPKMAP FGCONSOLE KBD_MODE LOADFONT SETFONT LOADKMAP OPENVT SETCONSOLE SETKEYCODES
	SETLOGCONS SHOWKEY
	ARPING DHCPRELAY DNSD ETHER_WAKE FAKEIDENTD FTPD IFENSLAVE IFPLUGD IFUP IFDOWN INETD IPCALC NAMEIF NTPD PSCAN
	SLATTACH SSL_CLIENT TCPSVD UDPSVD TELNETD TFTPD TUNCTL UDHCPC UDHCPC6 UDHCPD VCONFIG WHOIS ZCIP HTTPD
	UUENCODE UUDECODE NOLOGIN
"

# a function and no variable: that would be in the package, with paths of the machine
kbuild() {
	emake \
		CROSS_COMPILE="${CHOST}-" \
		HOSTCC="$(quern-musl_native_cc)" \
		KCONFIG_NOTIMESTAMP=1 \
		SKIP_STRIP=y \
		V=1 \
		"$@"
}

src_configure() {
	local option
	kbuild defconfig
	for option in ${BUSYBOX_OFF}; do
		sed -i "s/^CONFIG_${option}=y/# CONFIG_${option} is not set/" .config || die
	done
	use static && { sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config || die; }
	kbuild oldconfig < /dev/null > "${T}"/oldconfig.log
}

src_compile() {
	kbuild CONFIG_EXTRA_CFLAGS="${CFLAGS}" CONFIG_EXTRA_LDFLAGS="${LDFLAGS}" busybox busybox.links
}

src_install() {
	into /
	dobin busybox
	newdoc README README
	if use make-symlinks; then
		local applet
		while read -r applet; do
			[[ ${applet} == /bin/busybox ]] || dosym -r /bin/busybox "${applet}"
		done < busybox.links
	fi
}

"""What keeps an ordinary user's build from giving an image other bytes than root's.

His files stand for root's; whatever else a package wants, an owner, a device, a capability, only root can give. Portage
ignores that a chown failed, and so do many ebuilds: therefore the programs that would do it are covered on the PATH of
builds by one that notes what was asked for, and fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NOTES = "needs-root"  # in the host side: lines of category/package-version<TAB>what<TAB>file
COVERED = ("chgrp", "chown", "install", "mknod", "setcap")

SCRIPT = """\
#!/bin/sh
# Stands for a program of this name where an ordinary user builds.
name=${0##*/}
here=${0%/usr/bin/*}
real=$here/usr/libexec/$name

in_image() { # file: all but what is in a folder of the build that is not installed, where Portage changes groups itself
	case $1 in /*) file=$1 ;; *) file=$PWD/$1 ;; esac
	case $file in
	"${D%/}"/*) return 0 ;;
	"${PORTAGE_BUILDDIR:-/nowhere}"/*) return 1 ;;
	esac
	return 0
}

refuse() { # what, file
	if in_image "$2"; then
		file=${file#"${D%/}"}
		printf '%s/%s\\t%s\\t%s\\n' "$CATEGORY" "$PF" "$1" "${file#"${ROOT%/}"}" >> "$here/needs-root"
	fi
	echo "$name: $1 of $2: only root can" >&2
	exit 1
}

is_root() { # user, group, user:group
	user=${1%%[:.]*} group=${1#"${1%%[:.]*}"}
	case $user in '' | 0 | root) ;; *) return 1 ;; esac
	case ${group#[:.]} in '' | 0 | root) return 0 ;; esac
	return 1
}

as_user() { # user:group of root's; a chown that changes nothing still takes set-id bits away, as root's does
	case $name:$1 in
	chgrp:*) id -g ;;
	chown:[:.]*) echo ":$(id -g)" ;;
	chown:*[:.]*) echo "$(id -u):$(id -g)" ;;
	*) id -u ;;
	esac
}

last() { shift $(($# - 1)); echo "$1"; }

case $name in
chown | chgrp)
	owner=
	for word; do
		shift
		case $word in
		-*) ;;
		*)
			if [ -z "$owner" ]; then
				owner=$word
				is_root "$word" && word=$(as_user "$word")
			elif ! is_root "$owner" && in_image "$word"; then
				refuse "$name $owner" "$word"
			fi
			;;
		esac
		set -- "$@" "$word"
	done
	;;
mknod)
	for word; do [ "$word" = p ] && exec "$real" "$@"; done
	file=
	for word; do
		case $word in -m | -[0-9]*) ;; -*) ;; [0-7][0-7][0-7] | [0-7][0-7][0-7][0-7]) ;; *) file=$word; break ;; esac
	done
	refuse "a device" "$file"
	;;
setcap)
	refuse "capabilities" "$(last "$@")"
	;;
install)
	# dobin's: he is meant to stand for root
	case $* in "-m0755 -o ${PORTAGE_INST_UID-} -g ${PORTAGE_INST_GID-} "*) exec "$real" "$@" ;; esac
	value= target=$(last "$@")
	for word; do
		shift
		if [ -n "$value" ]; then
			value= owner=$word
		else
			case $word in
			-o | -g | --owner | --group) value=next; continue ;;
			-o?* | -g?*) owner=${word#-?} ;;
			--owner=* | --group=*) owner=${word#*=} ;;
			*) set -- "$@" "$word"; continue ;;
			esac
		fi
		is_root "$owner" || refuse "owner $owner" "$target"
	done
	;;
esac
exec "$real" "$@"
"""


def cover(host: Path, tools: Mapping[str, str]) -> None:
    """Put the script in place of those of `tools` (name: path) that it covers, on the PATH of the host side `host`."""
    real = host / "usr/libexec"
    real.mkdir()
    for name in COVERED:
        if name in tools:
            tool = host / "usr/bin" / name
            tool.rename(real / name)
            tool.write_text(SCRIPT)
            tool.chmod(0o755)

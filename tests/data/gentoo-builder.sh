# Turns the tests' Debian builder into what a stage3 looks like to Portage: what its own ebuild changes in it when it
# becomes part of a system, a profile in a tree that is not there yet, and a compiler that a package owns.
set -eu
cd /opt/portage
packages=/usr/lib/$(basename lib/python*)/site-packages
mkdir -p "$packages" /etc/portage /var/db/pkg/sys-devel/gcc-12 /var/db/repos/gentoo
mv lib/python*/site-packages/* "$packages"
mv lib/portage /usr/lib/portage
mv share/portage /usr/share/portage
sed -i 's/"MODULE" == "MODULE"/False/; s/"MODULE" == "SYSTEM"/True/' "$packages/portage/installation.py"
sed -i 's,PORTAGE_BASE_PATH = "*$,PORTAGE_BASE_PATH = "/usr/lib/portage",' "$packages/portage/const.py"
sed -i 's,PORTAGE_BIN_PATH = "*$,PORTAGE_BIN_PATH = "/usr/lib/portage/bin",' "$packages/portage/const.py"
echo "$packages" > /usr/lib/python3/dist-packages/gentoo.pth
sed '1s,.*,#!/usr/bin/python3,' bin/emerge > /usr/bin/emerge
chmod 755 /usr/bin/emerge
rm -r /opt/portage /usr/local/bin/emerge
ln -s ../../var/db/repos/gentoo/profiles/base /etc/portage/make.profile
echo 'FEATURES="userpriv sandbox"' > /etc/portage/make.conf
ln -s tar /usr/bin/gtar
echo portage:x:250:250:portage:/var/tmp/portage:/bin/false >> /etc/passwd
echo portage::250:portage >> /etc/group
cd /var/db/pkg/sys-devel/gcc-12
echo 0 > SLOT; echo 8 > EAPI; echo gcc-12 > PF; echo sys-devel > CATEGORY; echo tree > repository
touch USE IUSE KEYWORDS DEFINED_PHASES COUNTER
echo 'obj /usr/bin/gcc 0 0' > CONTENTS

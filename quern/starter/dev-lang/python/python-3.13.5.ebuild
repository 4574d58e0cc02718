# Copyright the quern developers
# SPDX-License-Identifier: BSD-3-Clause

EAPI=8

inherit quern-musl

MY_PV="$(ver_cut 1-2)"

DESCRIPTION="The Python interpreter and its standard library"
HOMEPAGE="https://www.python.org/"
SRC_URI="
	mirror://debian/pool/main/p/python${MY_PV}/python${MY_PV}_${PV}.orig.tar.xz -> Python-${PV}.tar.xz
	https://www.python.org/ftp/python/${PV}/Python-${PV}.tar.xz
"
S="${WORKDIR}/Python-${PV}"

LICENSE="PSF-2"
SLOT="${MY_PV}"
KEYWORDS="amd64"
IUSE="+ncurses +readline +sqlite test-suite"

DEPEND="
	app-arch/bzip2:=
	app-arch/xz-utils:=
	dev-libs/expat:=
	dev-libs/libffi:=
	dev-libs/openssl:=
	sys-libs/zlib:=
	ncurses? ( sys-libs/ncurses:= )
	readline? ( sys-libs/readline:= )
	sqlite? ( dev-db/sqlite:= )
"
RDEPEND="
	${DEPEND}
	app-misc/mime-types
"

src_prepare() {
	# Neither a second package manager nor graphics, nor the language reference as a megabyte of strings.
	sed -i -E '/^\t\t(ensurepip|idlelib|pydoc_data|tkinter|turtledemo)[ \/a-zA-Z_]*\\$/d' Makefile.pre.in || die
	rm -r Lib/{ensurepip,idlelib,pydoc_data,tkinter,turtledemo,turtle.py} || die
	quern-musl_src_prepare
}

src_configure() {
	local options=(
		--with-openssl="${ESYSROOT}/usr"
		--with-system-expat
		--without-ensurepip
		--without-static-libpython
		--disable-test-modules
		--enable-loadable-sqlite-extensions
		--with-dbmliborder=
		--enable-ipv6
		$(use_with readline)
		# Questions that the building machine's kernel, network or mounts would answer.
		ac_cv_broken_nice=no
		ac_cv_broken_poll=no
		ac_cv_broken_sem_getvalue=no
		ac_cv_buggy_getaddrinfo=no
		ac_cv_file__dev_ptc=no
		ac_cv_file__dev_ptmx=yes
		ac_cv_posix_semaphores_enabled=yes
		ac_cv_working_tzset=yes
		# Modules whose libraries are not here.
		py_cv_module__dbm=n/a
		py_cv_module__gdbm=n/a
		py_cv_module__tkinter=n/a
	)
	use ncurses || options+=( py_cv_module__curses=n/a py_cv_module__curses_panel=n/a )
	use sqlite || options+=( py_cv_module__sqlite3=n/a )

	# Not a cross build for configure: its test programs name the root's loader, so they run here and the answers are
	# musl's. OPT is what configure would set, without -g and -O3.
	local -x QUERN_INTERPRETER_ROOT="${ESYSROOT}" OPT="-DNDEBUG"
	CBUILD="${CHOST}" econf "${options[@]}"

	# The root of this build must not be known to what is built; the compiler finds it by itself.
	sed -i -e "s: *-I${ESYSROOT}/usr/include::g; s: *-L${ESYSROOT}/usr/lib::g; s:${ESYSROOT}/usr:/usr:g" Makefile || die
}

# The interpreter being built also serves the build: run by its own loader, it is its own build-python. So no Python
# of the machine is needed, and nothing is compiled twice.
python_make() {
	local run="$(quern-musl_run)"
	local arguments=(
		FREEZE_MODULE_BOOTSTRAP="${run} ./Programs/_freeze_module"
		FREEZE_MODULE="${run} ./_bootstrap_python \$(srcdir)/Programs/_freeze_module.py"
		# musl gives a thread 128 KiB of stack, too little for Python's recursion limit.
		EXTRA_CFLAGS="-DTHREAD_STACK_SIZE=0x100000"
	)
	emake "${arguments[@]}" "$@"
}

src_compile() {
	python_make PYTHON_FOR_BUILD="$(quern-musl_run) ./python -E"
}

# One .pyc per module, believed without a look at its source: fast to start, and the same bytes at every build. Two
# processes with fixed shares, because what a process compiled before shows in the marshalled bytes.
python_compile_modules() {
	local library="${ED}/usr/lib/python${MY_PV}" share jobs=()
	find "${library}" -name '*.py' ! -path "${library}/test/*" ! -path '*/config-*' | LC_ALL=C sort > "${T}"/modules || die
	split -n r/2 "${T}"/modules "${T}"/share. || die
	for share in "${T}"/share.*; do
		$(quern-musl_run) ./python -E -m compileall -q -f -o 0 --invalidation-mode unchecked-hash \
			-s "${ED}" -p / -i "${share}" &
		jobs+=( $! )
	done
	for share in "${jobs[@]}"; do
		wait "${share}" || die "cannot compile the standard library"
	done
}

src_install() {
	local library="/usr/lib/python${MY_PV}"

	python_make PYTHON_FOR_BUILD=true DESTDIR="${D}" install
	rm "${ED}"/usr/bin/idle* "${ED}${library}"/config-*/{install-sh,config.c*} || die
	find "${ED}" -name __pycache__ -prune -exec rm -r {} + || die

	# What was recorded about the build, without where it happened. The module is written anew, because its line breaks
	# depend on the length of what is replaced.
	local tools="$(type -P install)"
	local moves=( "${WORKDIR}" /build "${tools%/*}" /usr/bin )
	$(quern-musl_run) ./python -E "${FILESDIR}"/relocate.py "${ED}${library}"/_sysconfigdata_*.py "${moves[@]}" || die
	sed -i "s:${moves[0]}:${moves[1]}:g; s:${moves[2]}:${moves[3]}:g" "${ED}${library}"/config-*/Makefile \
		"${ED}"/usr/lib/pkgconfig/*.pc "${ED}"/usr/bin/python*-config "${ED}${library}"/config-*/python-config.py || die

	# Modules are no programs, and some would be run by a python that is called otherwise here.
	find "${ED}${library}" -name '*.py' -exec chmod a-x {} + || die

	python_compile_modules
	if use test-suite; then
		insinto "${library}"
		doins -r Lib/test
	fi
	dodoc README.rst
}

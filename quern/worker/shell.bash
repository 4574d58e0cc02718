# What the shell of a failed package begins with: without arguments Portage's ebuild.sh does all that it does for a
# phase, and no phase. It loads the helpers, and what the phases before have saved in ${T}/environment.
quern_command=("$@")
set --
source "${PORTAGE_BIN_PATH}/ebuild.sh"
# what it does besides, in __ebuild_main, before it calls the phase
[[ -n ${S} ]] || export S="${WORKDIR}/${P}"
[[ " ${FEATURES} " == *" ccache "* ]] || export CCACHE_DISABLE=1
__ebuild_phase_funcs "${EAPI}" "${EBUILD_PHASE_FUNC:-src_${EBUILD_PHASE}}" # `default`, and phases that are not written
__source_all_bashrcs
unset EBUILD_MASTER_PID # else `die` in a subshell, `(src_compile)` say, ends this shell as well

cd "${S}" 2>/dev/null || cd "${WORKDIR}" 2>/dev/null || cd "${PORTAGE_BUILDDIR}"
unset HISTFILE
PROMPT_DIRTRIM=2
PS1='${CATEGORY}/${PF} \w \$ '
[[ ${#quern_command[@]} -eq 0 ]] || eval "${quern_command[0]}"

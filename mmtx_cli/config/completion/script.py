"""Shell scripts that query ``mmtx`` for completions.

All shells use the protocol of Hydra's own completion: the line up to the cursor is in the
environment variable COMP_LINE (bash adds the cursor position, COMP_POINT, and the characters that
end words), and ``mmtx -sc query=SHELL`` prints one completion per line.
"""

WORD_BREAKS = "MMTX_WORDBREAKS"
"""Environment variable in which bash passes its COMP_WORDBREAKS."""

# bash gets the text that replaces the current word of readline, which starts after the last "="
# or open quote.
_BASH = """_mmtx_completion() {
    local found
    COMPREPLY=()
    while IFS= read -r found; do
        [[ -n "$found" ]] && COMPREPLY+=("$found")
    done < <(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" MMTX_WORDBREAKS="$COMP_WORDBREAKS" \\
        "${COMP_WORDS[0]/#\\~\\//$HOME/}" -sc query=bash 2> /dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" != *[=/.] ]]; then
        compopt +o nospace 2> /dev/null
    fi
}
# what Hydra calls it; that of another program of Hydra's stays
declare -F hydra_bash_completion > /dev/null || hydra_bash_completion() { _mmtx_completion; }
complete -o nospace -F _mmtx_completion mmtx
"""

_ZSH = """_mmtx_completion() {
    local line="${(j: :)words[1,CURRENT]}"
    local -a found whole open
    found=("${(@f)$(COMP_LINE="$line" COMP_POINT=${#line} mmtx -sc query=zsh 2> /dev/null)}")
    open=(${(M)found:#*[=/.]})
    whole=(${found:#*[=/.]})
    (( $#open )) && compadd -S '' -- $open
    (( $#whole )) && compadd -- $whole
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _mmtx_completion mmtx
"""

_FISH = """function __mmtx_completion
    set -lx COMP_LINE (commandline -cp)
    mmtx -sc query=fish 2> /dev/null
end
complete -c mmtx -f -a '(__mmtx_completion)'
"""

INSTALL = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
UNINSTALL = {
    "bash": "complete -r mmtx; unset -f _mmtx_completion hydra_bash_completion\n",
    "zsh": "compdef -d mmtx; unfunction _mmtx_completion\n",
    "fish": "complete -e -c mmtx; functions -e __mmtx_completion\n",
}

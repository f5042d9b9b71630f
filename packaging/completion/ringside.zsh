#compdef ringside ringsidectl ringside-duel
# zsh completion. What there is to complete is known to the completion for bash, which is asked.

local file choices
for file in ${(s.:.)${XDG_DATA_DIRS:-/usr/local/share:/usr/share}}; do
	file=$file/bash-completion/completions/ringside
	[[ ! -r $file ]] || break
done
[[ -r $file ]] || return 1
choices=(${(f)"$(bash -c '
	. "$1"; shift
	COMP_CWORD=$1; shift
	COMP_WORDS=("$@")
	name=_${1##*/}
	"${name//-/_}" && printf "%s\n" "${COMPREPLY[@]}"' bash $file $((CURRENT - 1)) "${words[@]}" 2>/dev/null)"})
compadd -Q -a choices

# fish completion for ringside, ringsidectl and ringside-duel. What there is to complete is known to the completion for bash,
# which is asked.
function __ringside_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l dirs (string split : -- $XDG_DATA_DIRS) /usr/local/share /usr/share
	for dir in $dirs
		set -l file $dir/bash-completion/completions/ringside
		test -r $file; or continue
		bash -c '
			. "$1"; shift
			COMP_CWORD=$(($# - 1))
			COMP_WORDS=("$@")
			name=_${1##*/}
			"${name//-/_}" && printf "%s\n" "${COMPREPLY[@]}"' bash $file $words 2>/dev/null
		return
	end
end

for program in ringside ringsidectl ringside-duel
	complete -c $program -f -a '(__ringside_complete)'
end

# bash completion for postern. The words come from the program itself (`postern --list-words`, `postern COMMAND
# --list-options`), so that they are those of the version that is installed.
_postern() {
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options words=""

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="$("$program" --list-words 2>/dev/null | cut -f1) --help --version"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
		return
	fi
	options=$("$program" "$command" --list-options 2>/dev/null)
	case $'\n'"$options"$'\n' in
	*$'\n'"$previous="$'\n'*) # its value
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	esac
	case $current in
	-*) words=${options//=/} ;;
	*) [ "$COMP_CWORD" -ne 2 ] || words=$("$program" --list-words "$command" 2>/dev/null) ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	if [ ${#COMPREPLY[@]} -eq 0 ]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	fi
}
complete -F _postern postern

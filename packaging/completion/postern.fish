# fish completion for postern. The words come from the program itself.
function __postern_words
	set -l tokens (commandline -opc)
	if test (count $tokens) -lt 2
		command $tokens[1] --list-words 2>/dev/null
		return
	end
	if test (count $tokens) -eq 2
		command $tokens[1] --list-words $tokens[2] 2>/dev/null | string split ' '
	end
	if string match -q -- '-*' (commandline -ct)
		command $tokens[1] $tokens[2] --list-options 2>/dev/null | string replace '=' ''
	end
end
complete -c postern -n 'test (count (commandline -opc)) -eq 1' -f -a '(__postern_words)'
complete -c postern -n 'test (count (commandline -opc)) -gt 1' -a '(__postern_words)'

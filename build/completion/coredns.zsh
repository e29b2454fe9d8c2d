#compdef coredns
# zsh completion for coredns, made by "coredns kms completion zsh".

_coredns() {
	local -a lines candidates
	local line
	lines=("${(@f)$("${(Q)words[1]/#\~\//$HOME/}" kms complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	for line in "${lines[@]}"; do
		case $line in
		'') ;;
		:files)
			_files
			return
			;;
		*$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		*) candidates+=("${line//:/\\:}") ;;
		esac
	done
	_describe -t arguments coredns candidates
}

if [[ ${funcstack[1]} == _coredns ]]; then # loaded by name, from $fpath
	_coredns "$@"
else
	compdef _coredns coredns
fi

# bash completion for coredns, made by "coredns kms completion bash".

_coredns() {
	# The words as they stand on the line: COMP_WORDS is broken at colons and equals signs.
	local line=${COMP_LINE:0:COMP_POINT} candidate
	local -a words
	read -ra words <<<"$line"
	if [[ $line == *[[:blank:]] ]]; then
		words+=("")
	fi
	local word=${words[${#words[@]} - 1]} program=${words[0]/#\~\//$HOME/}

	COMPREPLY=()
	compopt +o default 2>/dev/null
	while IFS=$'\t' read -r candidate _; do
		if [[ $candidate == :files ]]; then
			compopt -o default 2>/dev/null
			return
		fi
		COMPREPLY+=("$candidate")
	done < <("$program" kms complete "${words[@]:1}" 2>/dev/null)

	# What bash replaces is only what stands behind the last of these.
	local broken=${word%"${word##*[:=]}"}
	COMPREPLY=("${COMPREPLY[@]#"$broken"}")
}

complete -o default -F _coredns coredns

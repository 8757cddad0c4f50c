
# The words before the cursor, by blanks alone: bash itself also splits at : and =, which are in endpoints and
# settings.  (Words in quotes with blanks in them are not understood, and so not completed.)
_pail_words() {
	read -ra _pail_line <<<"${COMP_LINE:0:COMP_POINT}"
	case ${COMP_LINE:0:COMP_POINT} in *[[:space:]]) _pail_line+=("") ;; esac
	_pail_cur=${_pail_line[${#_pail_line[@]}-1]}
	unset "_pail_line[${#_pail_line[@]}-1]"
}
# Of the words in $1, those that begin as what is typed does; bash replaces only what stands behind its own
# last : or =.
_pail_offer() {
	local head=${_pail_cur%"${_pail_cur##*[:=]}"} w
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$_pail_cur")
	for w in "${!COMPREPLY[@]}"; do
		COMPREPLY[w]=${COMPREPLY[w]#"$head"}
		case ${COMPREPLY[w]} in *=) compopt -o nospace 2>/dev/null ;; esac
	done
}
_pail_files() { # more words for compgen
	mapfile -t COMPREPLY < <(compgen "$@" -- "$_pail_cur")
	compopt -o filenames 2>/dev/null
}
# The buckets that begin so, asked of the node that the line means; nothing, if it does not answer at once.
_pail_buckets() {
	local b
	COMPREPLY=()
	while IFS= read -r b; do
		COMPREPLY+=("$(printf %q "$b")")
	done < <("$_pail_program" "${_pail_to[@]}" buckets -o raw --timeout 500 --limit 200 ${_pail_cur:+--prefix "$_pail_cur"} 2>/dev/null </dev/null)
}
_pail_contexts() {
	_pail_offer "$("$_pail_program" context list -o raw 2>/dev/null </dev/null)"
}
_pail_value() { # option: complete its value
	case $1 in
	-o | --output) _pail_offer "table json raw" ;;
	--config | --resume | --key | --file) _pail_files -f ;;
	--context) _pail_contexts ;;
	--data) _pail_files -d ;;
	--bucket) _pail_buckets ;;
	--set) _pail_offer "$_paild_settings" ;;
	*) COMPREPLY=() ;;
	esac
}
_pail_names() { # options, without the = of those that take a value
	echo "${1//=/}"
}
_pail() {
	local _pail_program=$1 _pail_line _pail_cur _pail_args="" _pail_own="" _pail_actions="" _pail_to=()
	local command="" at=0 i=1 w options_end="" words
	_pail_words
	while [ $i -lt ${#_pail_line[@]} ]; do
		w=${_pail_line[i]}
		if [ -z "$options_end" ] && [ "$w" = -- ]; then
			options_end=1
		elif [ -z "$options_end" ] && [ "${w#-}" != "$w" ]; then
			case " $_pail_common$_pail_own " in
			*" $w= "*)
				i=$((i + 1))
				[ $i -lt ${#_pail_line[@]} ] || { _pail_value "$w"; return; }
				case $w in --node | --config | --admin | --key | --context) _pail_to+=("$w" "${_pail_line[i]}") ;; esac
				;;
			esac
		elif [ -z "$command" ]; then
			command=$w
			_pail_of "$command"
		else
			at=$((at + 1))
		fi
		i=$((i + 1))
	done
	if [ -z "$options_end" ] && [ "${_pail_cur#-}" != "$_pail_cur" ]; then
		_pail_offer "$(_pail_names "$_pail_own$_pail_common")"
	elif [ -z "$command" ]; then
		_pail_offer "$_pail_commands"
	else
		read -ra words <<<"$_pail_args"
		case ${words[at]:-} in
		BUCKET | \[BUCKET\]) _pail_buckets ;;
		ACTION) _pail_offer "$_pail_actions" ;;
		COMMAND | \[COMMAND\]) _pail_offer "$_pail_commands" ;;
		FILE | \[FILE\]) _pail_files -f ;;
		NAME) _pail_files -f ;;
		\[NAME\]) _pail_contexts ;;
		*) COMPREPLY=() ;;
		esac
	fi
}
_paild() {
	local _pail_line _pail_cur previous=""
	_pail_words
	[ ${#_pail_line[@]} -lt 2 ] || previous=${_pail_line[${#_pail_line[@]}-1]}
	case " $_paild_options " in
	*" $previous= "*) _pail_value "$previous" ;;
	*) _pail_offer "$(_pail_names "$_paild_options")" ;;
	esac
}
complete -F _pail pail
complete -F _paild paild

# SPDX-License-Identifier: PostgreSQL
#
# Completion of pqpool's command line for bash. Commands and options are what the installed
# pqpool says in its --help, so that there is nothing here to keep up to date.

# The options of a command.
_pqpool_options() {
	"$1" "$2" --help 2>/dev/null </dev/null |
		sed -n -e 's/^ *\(-[A-Za-z0-9], *\)\{0,1\}\(--[a-z][a-z-]*\).*/\2/p'
	echo --help
}

# The words that are allowed after an option, where there is but a choice of words.
_pqpool_values() {
	"$1" "$2" --help 2>/dev/null </dev/null | sed -n -e "/^ *$3 /,/^\$/{
		s/ or /, /
		s/^ *Allowed: \([a-z0-9]*\(, [a-z0-9]*\)*\)\$/\1/p
	}" | tr -d ,
}

# Processes that have a pool.
_pqpool_pids() {
	"$1" metrics 2>/dev/null </dev/null | sed -n -e 's/.*[{,]pid="\([0-9]*\)".*/\1/p' | sort -u
}

# Where the arguments of a program that is to be run begin, in _pqpool_at; 0 = not yet.
_pqpool_find_program() {
	local i
	_pqpool_at=0
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			_pqpool_at=$((i + 1))
			return
			;;
		--wait | --fail-on-leak | --help | --*=*) ;;
		--*)
			((i++))
			# Bash takes --size=5 apart: the sign, then the value.
			if [ "${COMP_WORDS[i]}" = = ]; then
				((i++))
			fi
			;;
		*)
			_pqpool_at=$i
			return
			;;
		esac
	done
}

_pqpool_files() {
	local IFS=$'\n'
	compopt -o filenames 2>/dev/null
	COMPREPLY+=($(compgen -f -- "$1"))
}

_pqpool_programs() {
	local IFS=$'\n'
	compopt -o filenames 2>/dev/null
	case $1 in
	*/*) COMPREPLY+=($(compgen -f -- "$1")) ;;
	*) COMPREPLY+=($(compgen -c -- "$1") $(compgen -f -- "$1")) ;;
	esac
}

_pqpool_run() {
	local tool=$1 word=$2
	_pqpool_find_program
	if ((_pqpool_at == 0)); then
		case $word in
		-*) COMPREPLY=($(compgen -W "$(_pqpool_options "$tool" run)" -- "$word")) ;;
		*) _pqpool_programs "$word" ;;
		esac
	elif ((_pqpool_at == COMP_CWORD)); then
		_pqpool_programs "$word"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$_pqpool_at" # the program's own completion
	else
		_pqpool_files "$word"
	fi
}

_pqpool() {
	local tool=$1 word=$2 before=$3 command=${COMP_WORDS[1]} _pqpool_at=0
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "--help --version $("$tool" --help 2>/dev/null </dev/null |
			sed -n -e 's/^  \([a-z][a-z]*\)  .*/\1/p')" -- "$word"))
		return
	fi
	if [ "$word" = = ]; then
		word=
	elif [ "$before" = = ]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $before in
	--log | --output | -o | --suppress | --socket | --config)
		_pqpool_files "$word"
		return
		;;
	--*)
		local values
		values=$(_pqpool_values "$tool" "$command" "$before")
		if [ -n "$values" ]; then
			COMPREPLY=($(compgen -W "$values" -- "$word"))
			return
		fi
		;;
	esac
	case $command in
	run)
		_pqpool_run "$tool" "$word"
		return
		;;
	esac
	case $word in
	-*)
		COMPREPLY=($(compgen -W "$(_pqpool_options "$tool" "$command")" -- "$word"))
		return
		;;
	esac
	case $command in
	leaks)
		_pqpool_files "$word"
		COMPREPLY+=($(compgen -W "$(_pqpool_pids "$tool")" -- "$word"))
		;;
	replay | report) _pqpool_files "$word" ;;
	top) COMPREPLY=($(compgen -W "$(_pqpool_pids "$tool")" -- "$word")) ;;
	doctor)
		case $before in
		-l | --live) COMPREPLY=($(compgen -W "$(_pqpool_pids "$tool")" -- "$word")) ;;
		*) _pqpool_programs "$word" ;;
		esac
		;;
	keep) COMPREPLY=($(compgen -W "show set drain pause resume wait" -- "$word")) ;;
	drain) COMPREPLY=($(compgen -W "all $(_pqpool_pids "$tool")" -- "$word")) ;;
	esac
}

complete -F _pqpool pqpool

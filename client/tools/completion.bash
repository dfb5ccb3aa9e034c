# SPDX-License-Identifier: Apache-2.0
# Completes names of protection groups, their members and sites, ids of operations, and the words that options
# take, for `openstack dr` and `openstack protector`. Load it after the completion of `openstack` itself:
#
#   source <(openstack complete)
#   source openstack-dr.bash
#
# Names are asked of the cloud that the command line names, and kept for a minute in ~/.cache/openstack-dr.
# Made by `python -m tools.completion`; change tools/completion.bash.

# Each command; + when its last argument may be repeated.
declare -gA _openstack_dr_commands=(
# @commands@
)

# What may stand at a place of a command, after an option or as an argument: words, or @ and a kind of names.
declare -gA _openstack_dr_values=(
# @values@
)

# The words for a kind of names; $2 is the command's first argument, the group that members are of; $3 and on are
# the global options of the command line.
_openstack_dr_names() {
  local kind=$1 group='' cache file
  [[ $kind != @members ]] || group=$2
  shift 2
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/openstack-dr
  file=$cache/$(printf '%s\n' "$kind" "$group" "${OS_CLOUD-}" "$@" | cksum | tr -d ' ')
  if [[ -z $(find "$file" -mmin -1 2>/dev/null) ]]; then
    mkdir -p -m 700 "$cache" 2>/dev/null || return
    case $kind in
      @groups) openstack "$@" dr protection-group list -f value -c Name ;;
      @members) openstack "$@" dr member list -f value -c Name -- "$group" ;;
      @operations) openstack "$@" dr operation list --limit 50 -f value -c ID ;;
      @sites) openstack "$@" dr site list -f value -c Name ;;
    esac </dev/null >"$file" 2>/dev/null
  fi
  cat "$file" 2>/dev/null
}

_openstack_dr() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local -i at=1 from length number=1
  local name='' first='' place='' words=''
  COMPREPLY=()

  while ((at < COMP_CWORD)) && [[ ${COMP_WORDS[at]} != dr && ${COMP_WORDS[at]} != protector ]]; do at+=1; done
  for length in 3 2 1; do
    ((at + length < COMP_CWORD)) || continue
    name="${COMP_WORDS[*]:at+1:length}"
    [[ -v "_openstack_dr_commands[$name]" ]] && break
    name=''
  done

  if [[ -n $name ]]; then
    if [[ -v "_openstack_dr_values[$name $prev]" && $prev == -* ]]; then
      place="$name $prev"
    elif [[ $cur != -* ]]; then
      for ((from = at + 1 + length; from < COMP_CWORD; from++)); do
        [[ ${COMP_WORDS[from]} == -* ]] && continue
        [[ -v "_openstack_dr_values[$name ${COMP_WORDS[from-1]}]" && ${COMP_WORDS[from-1]} == -* ]] && continue
        # As it was typed, with its quotes.
        ((number > 1)) || first=${COMP_WORDS[from]//[\\\'\"]/}
        number+=1
      done
      if [[ ${_openstack_dr_commands["$name"]} == + ]]; then
        while ((number > 1)) && [[ ! -v "_openstack_dr_values[$name #$number]" ]]; do number+=-1; done
      fi
      place="$name #$number"
    fi
  fi

  [[ -z $place ]] || words=${_openstack_dr_values["$place"]-}
  case $words in
    '') declare -F _openstack >/dev/null && _openstack ;;
    @files) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    @*)
      mapfile -t COMPREPLY < <(
        _openstack_dr_names "$words" "$first" "${COMP_WORDS[@]:1:at-1}" | while IFS= read -r word; do
          # A name that begins with a dash would be taken for an option.
          [[ $word == "$cur"* && $word != -* ]] && printf '%q\n' "$word"
        done
      )
      ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
  esac
  return 0
}

complete -F _openstack_dr openstack

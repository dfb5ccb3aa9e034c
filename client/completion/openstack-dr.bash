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
  ['failback']=''
  ['failover']=''
  ['fence']=''
  ['health show']=''
  ['member add']='+'
  ['member list']=''
  ['member remove']='+'
  ['member set']=''
  ['member show']=''
  ['operation abort']=''
  ['operation adopt']=''
  ['operation cleanup']=''
  ['operation list']=''
  ['operation resume']=''
  ['operation show']=''
  ['orphan delete']='+'
  ['orphan list']=''
  ['policy create']=''
  ['policy delete']=''
  ['policy set']=''
  ['policy show']=''
  ['protection-group action']=''
  ['protection-group check']=''
  ['protection-group create']=''
  ['protection-group delete']='+'
  ['protection-group list']=''
  ['protection-group policy-show']=''
  ['protection-group reset-status']=''
  ['protection-group set']=''
  ['protection-group show']=''
  ['protection-group sync-force']=''
  ['protection-group sync-status']=''
  ['recovery-plan set']=''
  ['recovery-plan show']=''
  ['recovery-point list']=''
  ['retry']=''
  ['site create']=''
  ['site delete']='+'
  ['site failover']=''
  ['site list']=''
  ['site list-volume-types']=''
  ['site retire']=''
  ['site set']=''
  ['site show']=''
  ['site validate']=''
  ['tenant mapping create']=''
  ['tenant mapping delete']='+'
  ['tenant mapping list']=''
  ['tenant mapping show']=''
  ['test-cleanup']=''
  ['test-failover']=''
)

# What may stand at a place of a command, after an option or as an argument: words, or @ and a kind of names.
declare -gA _openstack_dr_values=(
  ['failback #1']='@groups'
  ['failback --type']='planned unplanned'
  ['failback --recovery-point']=''
  ['failback --network-mapping']=''
  ['failback --flavor-mapping']=''
  ['failover #1']='@groups'
  ['failover --type']='planned unplanned'
  ['failover --recovery-point']=''
  ['failover --network-mapping']=''
  ['failover --flavor-mapping']=''
  ['fence #1']='@groups'
  ['member add #1']='@groups'
  ['member add #2']=''
  ['member add --user-data']='@files'
  ['member list #1']='@groups'
  ['member list --sort']='name status created_at updated_at'
  ['member list --limit']=''
  ['member list --marker']=''
  ['member remove #1']='@groups'
  ['member remove #2']='@members'
  ['member set #1']='@groups'
  ['member set #2']='@members'
  ['member set --user-data']='keep omit'
  ['member show #1']='@groups'
  ['member show #2']='@members'
  ['operation abort #1']='@operations'
  ['operation adopt #1']='@operations'
  ['operation adopt --network-mapping']=''
  ['operation adopt --flavor-mapping']=''
  ['operation cleanup #1']='@operations'
  ['operation cleanup --operation-id']='@operations'
  ['operation cleanup --protection-group']='@groups'
  ['operation cleanup --delete-running']=''
  ['operation list --protection-group']='@groups'
  ['operation list --status']='pending running completed failed'
  ['operation list --type']='failover failback retry fence abort test-failover test-cleanup cleanup sync'
  ['operation list --sort']='created_at operation_type'
  ['operation list --limit']=''
  ['operation list --marker']=''
  ['operation resume #1']='@operations'
  ['operation show #1']='@operations'
  ['orphan delete #1']=''
  ['orphan list --site']='@sites'
  ['orphan list --protection-group']='@groups'
  ['policy create #1']='@groups'
  ['policy create --primary-array']=''
  ['policy create --primary-fa-url']=''
  ['policy create --primary-fa-api-token']=''
  ['policy create --secondary-array']=''
  ['policy create --secondary-fa-url']=''
  ['policy create --secondary-fa-api-token']=''
  ['policy create --rpo-minutes']=''
  ['policy delete #1']='@groups'
  ['policy set #1']='@groups'
  ['policy set --primary-array']=''
  ['policy set --primary-fa-url']=''
  ['policy set --primary-fa-api-token']=''
  ['policy set --secondary-array']=''
  ['policy set --secondary-fa-url']=''
  ['policy set --secondary-fa-api-token']=''
  ['policy set --rpo-minutes']=''
  ['policy show #1']='@groups'
  ['protection-group action #1']='@groups'
  ['protection-group action --action']='failover failback retry fence test-failover test-cleanup sync'
  ['protection-group action --test-operation-id']='@operations'
  ['protection-group action --type']='planned unplanned'
  ['protection-group action --recovery-point']=''
  ['protection-group action --operation-id']='@operations'
  ['protection-group action --network-mapping']=''
  ['protection-group action --flavor-mapping']=''
  ['protection-group check #1']='@groups'
  ['protection-group create #1']=''
  ['protection-group create --primary-site']='@sites'
  ['protection-group create --secondary-site']='@sites'
  ['protection-group create --volume-type']=''
  ['protection-group create --secondary-volume-type']=''
  ['protection-group create --replication-type']='async sync'
  ['protection-group create --description']=''
  ['protection-group create --priority']='1 2 3 4 5'
  ['protection-group create --fidelity']='told strict'
  ['protection-group create --network-mapping']=''
  ['protection-group create --flavor-mapping']=''
  ['protection-group create --server-group-mapping']=''
  ['protection-group create --volume-type-mapping']=''
  ['protection-group create --qos-policy-mapping']=''
  ['protection-group delete #1']='@groups'
  ['protection-group list --name']=''
  ['protection-group list --status']='active active_partial failing_over failed_over failed_over_partial failing_back split_brain error'
  ['protection-group list --sort']='name status priority created_at updated_at'
  ['protection-group list --limit']=''
  ['protection-group list --marker']=''
  ['protection-group policy-show #1']='@groups'
  ['protection-group reset-status #1']='@groups'
  ['protection-group set #1']='@groups'
  ['protection-group set --name']=''
  ['protection-group set --description']=''
  ['protection-group set --priority']='1 2 3 4 5'
  ['protection-group set --fidelity']='told strict'
  ['protection-group set --network-mapping']=''
  ['protection-group set --flavor-mapping']=''
  ['protection-group set --server-group-mapping']=''
  ['protection-group set --volume-type-mapping']=''
  ['protection-group set --qos-policy-mapping']=''
  ['protection-group show #1']='@groups'
  ['protection-group sync-force #1']='@groups'
  ['protection-group sync-status #1']='@groups'
  ['recovery-plan set #1']='@groups'
  ['recovery-plan set --file']='@files'
  ['recovery-plan show #1']='@groups'
  ['recovery-point list #1']='@groups'
  ['retry #1']='@groups'
  ['retry --operation-id']='@operations'
  ['retry --network-mapping']=''
  ['retry --flavor-mapping']=''
  ['site create #1']=''
  ['site create --auth-url']=''
  ['site create --username']=''
  ['site create --password']=''
  ['site create --user-domain-name']=''
  ['site create --project-name']=''
  ['site create --project-domain-name']=''
  ['site create --region-name']=''
  ['site create --interface']='public internal admin'
  ['site create --cacert']=''
  ['site create --description']=''
  ['site delete #1']='@sites'
  ['site failover #1']='@sites'
  ['site failover --type']='planned unplanned'
  ['site failover --project']=''
  ['site list --sort']='name status'
  ['site list --limit']=''
  ['site list --marker']=''
  ['site list-volume-types #1']='@sites'
  ['site list-volume-types --sort']='name'
  ['site list-volume-types --limit']=''
  ['site list-volume-types --marker']=''
  ['site retire #1']='@sites'
  ['site retire --give-up']=''
  ['site set #1']='@sites'
  ['site set --auth-url']=''
  ['site set --username']=''
  ['site set --password']=''
  ['site set --user-domain-name']=''
  ['site set --project-name']=''
  ['site set --project-domain-name']=''
  ['site set --region-name']=''
  ['site set --interface']='public internal admin'
  ['site set --cacert']=''
  ['site set --description']=''
  ['site set --peer-key']=''
  ['site show #1']='@sites'
  ['site validate #1']='@sites'
  ['tenant mapping create --primary-site']='@sites'
  ['tenant mapping create --primary-project']=''
  ['tenant mapping create --secondary-site']='@sites'
  ['tenant mapping create --secondary-project']=''
  ['tenant mapping delete #1']=''
  ['tenant mapping list --sort']='created_at'
  ['tenant mapping list --limit']=''
  ['tenant mapping list --marker']=''
  ['tenant mapping show #1']=''
  ['test-cleanup #1']='@groups'
  ['test-cleanup --test-operation-id']='@operations'
  ['test-failover #1']='@groups'
  ['test-failover --network-mapping']=''
  ['test-failover --flavor-mapping']=''
  ['test-failover --recovery-point']=''
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

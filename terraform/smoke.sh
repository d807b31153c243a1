#!/usr/bin/env bash
# Looks at a gateway in an account. CI never runs it: CI has none.
#   terraform/smoke.sh URL SERVER                     what anybody can see
#   TOKEN=… CALL='{…}' terraform/smoke.sh URL SERVER  and a call, such as {"jsonrpc":"2.0","id":1,"method":"tools/call",…}, of a tool
#                                                     that reports progress for a second or more: it shows whether answers stream
# CURL adds options for curl. The first two lines are what only an account can tell (terraform/README.md).
set -uo pipefail

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
[ $# -eq 2 ] || usage
url=${1%/} server=$2 failed=0
read -ra options <<<"${CURL:-}"
ask() { curl --silent --show-error --max-time 60 "${options[@]}" "$@"; }

# say WHAT RESULT DETAIL prints one line; a result of FAILED counts.
say() {
  printf '%-22s %-7s %s\n' "$1" "$2" "$3"
  [ "$2" != FAILED ] || failed=1
}

# sees WHAT WANT COMMAND... compares what a command prints with a pattern of the shell.
sees() {
  local what=$1 want=$2 got
  shift 2
  got=$("$@" 2>&1)
  # shellcheck disable=SC2053 # it is a pattern
  if [[ $got == $want ]]; then say "$what" ok "${got:0:150}"; else say "$what" FAILED "${got:0:300}"; fi
}

challenge() {
  ask --output /dev/null --dump-header - --request POST --header 'Content-Type: application/json' --data '{}' "$url/mcp-connect/$server" |
    tr -d '\r' | grep -i '^www-authenticate:' || echo "no WWW-Authenticate: clients cannot sign in"
}

# streams prints when the first and the last event of a call came, in milliseconds.
streams() {
  local began first='' last=0 now
  began=$(date +%s%3N)
  while IFS= read -r line; do
    case $line in data:*)
      now=$(($(date +%s%3N) - began)) last=$now
      first=${first:-$now}
      ;;
    esac
  done < <(ask --no-buffer --request POST --header "Authorization: Bearer $TOKEN" --header 'Content-Type: application/json' \
    --header 'Accept: application/json, text/event-stream' --header 'MCP-Protocol-Version: 2025-11-25' --data "$CALL" "$url/mcp-connect/$server")
  if [ -z "$first" ]; then
    echo "no events came"
  elif [ $((last - first)) -lt 200 ]; then
    echo "all events came at once, after $first ms: answers are held back, or the tool reports no progress"
  else
    echo "streams: the first event after $first ms, the last after $last ms"
  fi
}

status() { ask --output /dev/null --write-out '%{http_code}' "$@"; }

sees WWW-Authenticate "*resource_metadata=\"$url/.well-known/oauth-protected-resource/mcp-connect/$server\"*" challenge
if [ -n "${TOKEN:-}" ] && [ -n "${CALL:-}" ]; then
  sees 'function in a VPC' 'streams:*' streams
else
  say 'function in a VPC' skipped 'TOKEN and CALL are not set: whether answers stream is not known'
fi
sees 'resource metadata' '*authorization_servers*' ask "$url/.well-known/oauth-protected-resource/mcp-connect/$server"
sees 'authorization server' "*\"issuer\":\"$url\"*" ask "$url/.well-known/oauth-authorization-server"
sees 'signing keys' '*"keys"*' ask "$url/jwks"
sees 'a wrong token' 401 status --request POST --header 'Authorization: Bearer x' --header 'Content-Type: application/json' --data '{}' "$url/mcp-connect/$server"
sees 'plain HTTP' '403' status "http${url#https}/healthz"
exit $failed

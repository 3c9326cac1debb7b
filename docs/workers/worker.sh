#!/bin/sh
# A worker in POSIX shell with curl and jq: sh worker.sh QUEUE COMMAND…
# Runs COMMAND for each job, the data on its standard input; its last line of stderr is
# the error when it fails. PENSTOCK_URL is the server, PENSTOCK_TOKEN a worker's token.
set -eu
queue=$1; shift
api=${PENSTOCK_URL:-http://127.0.0.1:8080}/api/v1/workers
work=$(mktemp -d)

call() { # METHOD PATH BODY: repeated until it is answered, which is harmless for every call here
  printf %s "$3" | curl -fsS --retry 10 --retry-all-errors --max-time 60 -X "$1" "$api$2" \
    ${PENSTOCK_TOKEN:+-H "Authorization: Bearer $PENSTOCK_TOKEN"} -H 'Content-Type: application/json' -d @-
}

me=$(call POST '' "$(jq -nc --arg q "$queue" --arg h "$(uname -n)" '{queues: [$q], host: $h}')" | jq -r .id)
(while sleep 5; do call POST "/$me/heartbeat" '{}' >"$work/beat" || kill $$; done) &
beats=$!
trap 'kill $beats; call DELETE "/$me" ""; rm -rf "$work"' EXIT
trap 'exit 0' INT TERM

claim=0
while claim=$((claim + 1)); do
  call POST "/$me/claim" "{\"claimId\": \"$claim\", \"wait\": 10000}" | jq -c '.jobs[]' >"$work/job"
  [ -s "$work/job" ] || continue
  if jq -c .data "$work/job" | "$@" >"$work/out" 2>"$work/err"; then
    outcome=completed error=
  else
    outcome=failed error=$(tail -n 1 "$work/err")
  fi
  jq -c --arg outcome "$outcome" --arg error "$error" \
    '{attempts: [{queueName, id, attempt, $outcome, error: $error}]}' "$work/job" >"$work/end"
  call POST "/$me/finish" "$(cat "$work/end")" | jq -r '.attempts[] | "job \(.id): \(.status) \(.state // "")"'
done

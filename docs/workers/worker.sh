#!/bin/sh
# A worker in POSIX shell with curl and jq: sh worker.sh QUEUE COMMAND…
# Runs COMMAND for each job, the data on its standard input, byte for byte; its last line
# of stderr is the error when it fails. PENSTOCK_URL is the server, PENSTOCK_TOKEN a
# worker's token.
set -eu
umask 077
queue=$1; shift
api=${PENSTOCK_URL:-http://127.0.0.1:8080}/api/v1/workers
work=$(mktemp -d)

# The token goes through a file: anyone on the machine can read the arguments of a process.
printf 'Content-Type: application/json\n%s\n' "${PENSTOCK_TOKEN:+Authorization: Bearer $PENSTOCK_TOKEN}" >"$work/headers"
unset PENSTOCK_TOKEN # COMMAND does not need it

call() { # METHOD PATH BODY: repeated until it is answered, which is harmless for every call here
  printf %s "$3" | curl -fsS --retry 10 --retry-connrefused --max-time 60 -X "$1" "$api$2" -H "@$work/headers" -d @-
}

# The data of the one job in a claim's answer, as it came: jq would round large numbers.
data() {
  LC_ALL=C awk '{ text = text $0 "\n" } END {
    depth = 0; quoted = 0; from = 0; n = length(text)
    for (i = 1; i <= n; i++) {
      c = substr(text, i, 1)
      if (quoted) {
        if (c == "\\") i++
        else if (c == "\"") quoted = 0
      } else if (c == "\"") {
        if (depth == 3 && !from && substr(text, i, 7) == "\"data\":") { from = i + 7; i += 6 }
        else quoted = 1
      } else if (c == "{" || c == "[") depth++
      else if (c == "}" || c == "]" || c == ",") {
        if (from && depth == 3) { printf "%s", substr(text, from, i - from); exit }
        if (c != ",") depth--
      }
    }
  }' "$1"
}

me=$(call POST '' "$(jq -nc --arg q "$queue" --arg h "$(uname -n)" '{queues: [$q], host: $h}')" | jq -r .id)
(while sleep 5; do call POST "/$me/heartbeat" '{}' >"$work/beat" || kill $$; done) &
beats=$!
trap 'kill $beats; call DELETE "/$me" ""; rm -rf "$work"' EXIT
trap 'exit 0' INT TERM

end() { # OUTCOME CLASS ERROR
  body=$(jq -c --arg outcome "$1" --arg class "$2" --arg error "$3" \
    '.jobs[0] | {attempts: [{queueName, id, attempt, $outcome, errorClass: $class, error: $error}]}' "$work/claim")
  call POST "/$me/finish" "$body" >"$work/ended" && jq -r '.attempts[] | "job \(.id): \(.status) \(.state // "")"' "$work/ended"
}

claim=0
while claim=$((claim + 1)); do
  call POST "/$me/claim" "{\"claimId\": \"$claim\", \"wait\": 10000}" >"$work/claim"
  [ "$(jq '.jobs | length' "$work/claim")" = 1 ] || continue
  data "$work/claim" >"$work/data"
  if "$@" <"$work/data" >"$work/out" 2>"$work/err"; then
    end completed '' '' || end failed Refused 'the server refused the end of this attempt' || true
  else
    end failed '' "$(tail -n 1 "$work/err")" || end failed Refused 'the server refused the error of this attempt' || true
  fi
done

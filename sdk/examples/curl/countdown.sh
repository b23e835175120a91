#!/bin/sh
# A countdown of three seconds from a shell: create it, start it, and print every event until it is over.
#
#   sh countdown.sh [BASE]        SYNCKAIROS_TOKEN, if it is set, is sent along
set -eu

base="${1:-http://localhost:8080}"
token="${SYNCKAIROS_TOKEN:-}"

# call ARGUMENT...: curl, with the token if there is one; an answer that is no success is a failure.
call() {
    curl --fail-with-body -sS ${token:+-H "Authorization: Bearer $token"} "$@"
}

id="$(call "$base/v1/sessions" -H 'Content-Type: application/json' \
    -d '{"sync_mode": "global", "total_time_ms": 3000, "warnings_ms": [1000]}' |
    sed 's/.*"session_id":"\([^"]*\)".*/\1/')"
echo "session $id"

call -X POST "$base/v1/sessions/$id/start" >/dev/null

# Each event is three lines: its type, its data as JSON, and its position. The stream goes on until it is closed.
call -N "$base/v1/sessions/$id/events?heartbeat_ms=2000" | while read -r name value; do
    if [ "$name" != event: ]; then continue; fi
    echo "$value"
    if [ "$value" = TIME_EXPIRED ]; then break; fi
done

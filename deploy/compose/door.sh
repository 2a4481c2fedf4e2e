#!/bin/bash
# The image of the door has neither curl nor socat, but a bash that can open a connection. `door.sh tell` hands its
# input to HAProxy's runtime API, prints the answer, and keeps the weights for the next start; `door.sh health` fails
# unless the door stands.
set -euo pipefail
admin="${DOOR_ADMIN:-127.0.0.1:9999}" health="${DOOR_HEALTH:-127.0.0.1:8404}"
state="${DOOR_STATE:-/var/lib/haproxy/servers}"

tell() {
    exec 3<>"/dev/tcp/${admin/://}"
    cat >&3
    cat <&3
    exec 3>&-
}

case "${1:-}" in
    tell)
        tell
        echo "show servers state" | tell >"$state.new"
        mv "$state.new" "$state"
        ;;
    health)
        exec 3<>"/dev/tcp/${health/://}"
        printf 'GET /door HTTP/1.0\r\n\r\n' >&3
        read -r answer <&3
        [[ "$answer" == *" 200 "* ]]
        ;;
    *)
        echo "door.sh ${1:-}: expected tell or health." >&2
        exit 2
        ;;
esac

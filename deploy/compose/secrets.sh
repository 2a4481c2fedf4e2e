#!/bin/sh
# The secrets of compose, drawn at random where there are none yet: Grafana's password, and the key with which
# Prometheus reads the service's counts. They stay in deploy/secrets, which git does not see. The folder lets in its
# owner alone; the files in it can be read by all, for who reads them in the containers is somebody else.
set -eu
folder="${1:-$(dirname "$0")/../secrets}"
umask 077
mkdir -p "$folder"

drawn() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

keep() { # a name, and what the secret begins with
    if [ -s "$folder/$1" ]; then echo "$folder/$1 is there already."; return; fi
    printf '%s%s' "$2" "$(drawn)" >"$folder/$1"
    chmod 444 "$folder/$1"
    echo "$folder/$1 is drawn."
}

keep grafana_password ""
keep metrics_key "prometheus."

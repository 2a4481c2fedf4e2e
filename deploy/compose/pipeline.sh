#!/bin/sh
# Make a champion of a dataset where there is none yet: a service without one has nothing to answer with.
set -eu
dataset="${DATASET:-synthetic}"
if [ -e "$FASHION_MLOPS_HOME/data/serving/$dataset/slots.json" ]; then
    echo "$dataset has a champion already."
    exit 0
fi
exec fashion-mlops run --profile "${PROFILE:-smoke}" --dataset "$dataset"

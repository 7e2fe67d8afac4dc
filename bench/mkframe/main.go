// Command mkframe writes what a measurement needs into a folder:
//
//	rsa.pem ec.pem ed.pem    signing keys, kept where they are there already
//	jwks.json                their public halves
//	token.ALG                a token of ten days, for RS256, ES256 and EdDSA
//	frame.ALG.bin            the CheckRequest that Envoy would send with it, as
//	                         a gRPC message ready to be posted
//	frame.cookie.bin         the same request with a cookie and no token, where
//	                         -cookie is given
//
// Usage:
//
//	mkframe [-out DIR] [-issuer URL] [-audience NAME] [-cookie NAME=VALUE]
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkframe: ")
	out := flag.String("out", "fixtures", "`folder` to write to")
	issuer := flag.String("issuer", "https://idp.example.test/realms/main", "iss of the tokens")
	audience := flag.String("audience", "api", "aud of the tokens")
	cookie := flag.String("cookie", "", "`name=value` for frame.cookie.bin")
	flag.Parse()
	if err := run(*out, *issuer, *audience, *cookie); err != nil {
		log.Fatal(err)
	}
}

func run(out, issuer, audience, cookie string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	keys, err := loadKeys(out)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	if files["jwks.json"], err = jwks(keys); err != nil {
		return err
	}
	for _, k := range keys {
		token, err := k.token(issuer, audience)
		if err != nil {
			return err
		}
		files["token."+k.algorithm] = []byte(token)
		if files["frame."+k.algorithm+".bin"], err = frame(token, analytics); err != nil {
			return err
		}
	}
	if cookie != "" {
		if files["frame.cookie.bin"], err = frame("", analytics+"; "+cookie); err != nil {
			return err
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

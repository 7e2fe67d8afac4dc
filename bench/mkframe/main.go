// Command mkframe writes what a measurement needs into a folder:
//
//	rsa.pem ec.pem ed.pem    signing keys, kept where they are there already
//	jwks.json                their public halves
//	token.ALG                a token of ten days, for RS256, ES256 and EdDSA
//	frame.ALG.bin            the CheckRequest that Envoy would send with it, as
//	                         a gRPC message ready to be posted
//	frame.none.bin           the same request without a token
//	frame.cookie.bin         the same with one cookie more, where -cookie is given
//	frames.ALG.bin           many such requests one behind the other, each with a
//	                         token of its own, where -distinct is given
//
// Usage:
//
//	mkframe [-out DIR] [-issuer URL] [-audience NAME] [-cookie NAME=VALUE] [-distinct N]
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
	distinct := flag.Int("distinct", 0, "how many different `tokens` of RS256 and of ES256")
	flag.Parse()
	if err := run(*out, *issuer, *audience, *cookie, *distinct); err != nil {
		log.Fatal(err)
	}
}

func run(out, issuer, audience, cookie string, distinct int) error {
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
		token, err := k.token(issuer, audience, 0)
		if err != nil {
			return err
		}
		files["token."+k.algorithm] = []byte(token)
		if files["frame."+k.algorithm+".bin"], err = frame(token, analytics); err != nil {
			return err
		}
		if distinct > 0 && k.algorithm != "EdDSA" {
			if files["frames."+k.algorithm+".bin"], err = k.frames(issuer, audience, distinct); err != nil {
				return err
			}
		}
	}
	if files["frame.none.bin"], err = frame("", analytics); err != nil {
		return err
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

// frames are so many, each with a token of its own.
func (k key) frames(issuer, audience string, n int) (all []byte, err error) {
	for i := range n {
		token, err := k.token(issuer, audience, 1+i)
		if err != nil {
			return nil, err
		}
		one, err := frame(token, analytics)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

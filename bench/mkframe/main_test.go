package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/bench/raw"
)

const (
	issuer   = "https://idp.example.test/realms/main"
	audience = "api"
)

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAnotherRunKeepsTheKeys(t *testing.T) {
	folder := t.TempDir()
	if err := run(folder, issuer, audience, "", 0); err != nil {
		t.Fatal(err)
	}
	first := read(t, folder, "jwks.json")
	if err := run(folder, issuer, audience, "session=1", 3); err != nil {
		t.Fatal(err)
	}
	if got, want := string(read(t, folder, "jwks.json")), string(first); got != want {
		t.Errorf("jwks.json changed:\n got %s\nwant %s", got, want)
	}
}

func TestAFrameCarriesItsCredential(t *testing.T) {
	folder := t.TempDir()
	if err := run(folder, issuer, audience, "session=1", 3); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ frame, authorization, cookie string }{
		{"frame.RS256.bin", "Bearer " + string(read(t, folder, "token.RS256")), analytics},
		{"frame.ES256.bin", "Bearer " + string(read(t, folder, "token.ES256")), analytics},
		{"frame.EdDSA.bin", "Bearer " + string(read(t, folder, "token.EdDSA")), analytics},
		{"frame.cookie.bin", "", analytics + "; session=1"},
		{"frame.none.bin", "", analytics},
	} {
		data := read(t, folder, tc.frame)
		if got, want := int(binary.BigEndian.Uint32(data[1:5])), len(data)-5; got != want {
			t.Fatalf("%s: length %d, want %d", tc.frame, got, want)
		}
		request := &authv3.CheckRequest{}
		if err := proto.Unmarshal(data[5:], request); err != nil {
			t.Fatalf("%s: %v", tc.frame, err)
		}
		h := request.GetAttributes().GetRequest().GetHttp().GetHeaders()
		if got, want := h["authorization"], tc.authorization; got != want {
			t.Errorf("%s: authorization %q, want %q", tc.frame, got, want)
		}
		if got, want := h["cookie"], tc.cookie; got != want {
			t.Errorf("%s: cookie %q, want %q", tc.frame, got, want)
		}
	}
}

func TestATokenVerifiesUnderItsPublishedKey(t *testing.T) {
	folder := t.TempDir()
	if err := run(folder, issuer, audience, "", 0); err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []struct{ N, E string } }
	if err := json.Unmarshal(read(t, folder, "jwks.json"), &set); err != nil {
		t.Fatal(err)
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(decode(t, s)) }
	public := &rsa.PublicKey{N: number(set.Keys[0].N), E: int(number(set.Keys[0].E).Int64())}

	token := string(read(t, folder, "token.RS256"))
	end := strings.LastIndexByte(token, '.')
	digest := sha256.Sum256([]byte(token[:end]))
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], decode(t, token[end+1:])); err != nil {
		t.Error(err)
	}
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDistinctFramesHaveDifferentTokens(t *testing.T) {
	folder := t.TempDir()
	if err := run(folder, issuer, audience, "", 3); err != nil {
		t.Fatal(err)
	}
	messages, err := raw.Messages(read(t, folder, "frames.ES256.bin"))
	if err != nil || len(messages) != 3 {
		t.Fatal(len(messages), err)
	}
	seen := map[string]bool{}
	for _, m := range messages {
		request := &authv3.CheckRequest{}
		if err := proto.Unmarshal(m, request); err != nil {
			t.Fatal(err)
		}
		seen[request.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"]] = true
	}
	if len(seen) != 3 {
		t.Errorf("got %d different tokens, want 3", len(seen))
	}
}

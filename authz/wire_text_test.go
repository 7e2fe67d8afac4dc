package authz

import (
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/credence-authz/credence/audit"
)

// TestEveryAnswerCanBeRead: Envoy takes one that isn't UTF-8 for an outage.
func TestEveryAnswerCanBeRead(t *testing.T) {
	bad := Header{"x-bad", "a\xe9"}
	for name, d := range map[string]Decision{
		"set":      {Allow: true, Reason: audit.Allowed, Set: []Header{bad}},
		"response": {Allow: true, Reason: audit.Allowed, ResponseHeaders: []Header{bad}, SetCookies: []string{bad.Value}},
		"denial":   {Reason: audit.NoRule, Denial: &Denial{Status: 403, Headers: []Header{bad}}, SetCookies: []string{bad.Value}},
	} {
		answer := encodeAnswer(&d)
		if err := proto.Unmarshal(answer.ReadOnlyData(), new(authv3.CheckResponse)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

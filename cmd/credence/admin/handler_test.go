package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/credence-authz/credence/audit"
	"github.com/credence-authz/credence/session"
)

const (
	corp    = "https://login.example.com/realms/corp"
	partner = "https://partner.example.com"
)

var both = []Provider{{"corp", corp}, {"partner", partner}}

// ask sends a request with a body of that type, and gives status and body.
func ask(t *testing.T, h http.Handler, method, path, contentType, body string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// revoke posts a revocation that has to be taken.
func revoke(t *testing.T, h http.Handler, body string) {
	t.Helper()
	if status, text := ask(t, h, "POST", "/revocations", "application/json", body); status != 204 || text != "" {
		t.Fatalf("%s: got %d %s", body, status, text)
	}
}

func TestRevocationIsAboutWhatItNames(t *testing.T) {
	now := time.Now()
	alice := session.Identity{Issuer: corp, Subject: "alice", SID: "s1", TokenID: "t1", ClientID: "web", Issued: now}
	but := func(change func(*session.Identity)) session.Identity {
		i := alice
		change(&i)
		return i
	}
	otherIssuer := but(func(i *session.Identity) { i.Issuer = partner })
	for _, tt := range []struct {
		name, body string
		not        session.Identity // like alice but for what is revoked
		line       map[string]any   // of the audit log
	}{
		{"subject", `{"provider":"corp","subject":"alice"}`, but(func(i *session.Identity) { i.Subject = "bob" }), map[string]any{"provider": "corp", "subject": "alice"}},
		{"sid", `{"provider":"corp","sid":"s1"}`, but(func(i *session.Identity) { i.SID = "s2" }), map[string]any{"provider": "corp", "detail": `sid "s1"`}},
		{"token", `{"provider":"corp","token_id":"t1"}`, but(func(i *session.Identity) { i.TokenID = "t2" }), map[string]any{"provider": "corp", "detail": `token_id "t1"`}},
		{"client", `{"provider":"corp","client_id":"web"}`, but(func(i *session.Identity) { i.ClientID = "" }), map[string]any{"provider": "corp", "client_id": "web"}},
		{"by issuer", ` { "issuer" : "` + corp + `", "subject":"alice" } `, otherIssuer, map[string]any{"provider": "corp", "subject": "alice"}},
		{"escaped", `{"provider":"corp","subject":"al\u0069ce"}`, otherIssuer, map[string]any{"provider": "corp", "subject": "alice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v session.Revocations
			var b bytes.Buffer
			log := audit.NewLog(&b, audit.AllowsNone)
			revoke(t, New(Options{Revocations: &v, Providers: both, Audit: log}), tt.body)
			log.Close()
			if !v.Revoked(&alice) || v.Revoked(&tt.not) || v.Revoked(&otherIssuer) {
				t.Errorf("got %v, %v, %v, want true and twice false", v.Revoked(&alice), v.Revoked(&tt.not), v.Revoked(&otherIssuer))
			}
			var got map[string]any
			if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["msg"] != "revocation" || len(got) != 3+len(tt.line) {
				t.Fatalf("got %v, %v", b.String(), err)
			}
			for name, want := range tt.line {
				if got[name] != want {
					t.Errorf("%s: got %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

func TestWhatMayBeAMistakeIsRefused(t *testing.T) {
	var v session.Revocations
	var b bytes.Buffer
	log := audit.NewLog(&b, audit.AllowsAll)
	h := New(Options{Revocations: &v, Providers: both, Audit: log})
	const good = `{"provider":"corp","subject":"alice"}`
	for _, tt := range []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"no type", "", good, 415, "send Content-Type: application/json"},
		{"a form", "application/x-www-form-urlencoded", good, 415, "Content-Type"},
		{"text, as a browser may send it anywhere", "text/plain", good, 415, "Content-Type"},
		{"not a type", "application/json; charset", good, 415, "Content-Type"},
		{"nothing", "application/json", "", 400, "isn't one JSON object"},
		{"no JSON", "application/json", "subject=alice", 400, "isn't one JSON object"},
		{"a list", "application/json", "[" + good + "]", 400, "isn't one JSON object"},
		{"two objects", "application/json", good + good, 400, "isn't one JSON object"},
		{"null", "application/json", "null", 400, "exactly one of subject, sid, token_id and client_id; this has 0"},
		{"cut short", "application/json", good[:len(good)-1], 400, "isn't one JSON object"},
		{"too long", "application/json", `{"provider":"corp","subject":"` + strings.Repeat("x", maxBody) + `"}`, 413, "longer than 16384 bytes"},
		{"an unknown member", "application/json", `{"provider":"corp","subject":"alice","until":"2030"}`, 400, `\"until\" isn't known; write provider or issuer, and one of subject`},
		{"another spelling", "application/json", `{"provider":"corp","Subject":"alice"}`, 400, `\"Subject\" isn't known`},
		{"a member twice", "application/json", `{"provider":"corp","subject":"alice","subject":"bob"}`, 400, "subject"},
		{"about nothing", "application/json", `{"provider":"corp"}`, 400, "this has 0"},
		{"about two things", "application/json", `{"provider":"corp","subject":"alice","sid":"s1"}`, 400, "this has 2"},
		{"an empty subject", "application/json", `{"provider":"corp","subject":""}`, 400, "subject has to be text, and not empty"},
		{"an empty sid beside a subject", "application/json", `{"provider":"corp","subject":"alice","sid":""}`, 400, "sid has to be text"},
		{"a number", "application/json", `{"provider":"corp","subject":42}`, 400, "subject has to be text"},
		{"no value", "application/json", `{"provider":"corp","subject":null}`, 400, "subject has to be text"},
		{"not UTF-8", "application/json", "{\"provider\":\"corp\",\"subject\":\"\xff\"}", 400, "subject has to be text"},
		{"half a character", "application/json", `{"provider":"corp","subject":"\ud800"}`, 400, "subject has to be text"},
		{"no provider", "application/json", `{"subject":"alice"}`, 400, "either provider"},
		{"two providers", "application/json", `{"provider":"corp","issuer":"` + partner + `","subject":"alice"}`, 400, "either provider"},
		{"an unknown provider", "application/json", `{"provider":"Corp","subject":"alice"}`, 400, `no provider is called \"Corp\"; there are: corp (` + corp + `), partner (` + partner + `)`},
		{"an issuer's name in place of its URL", "application/json", `{"issuer":"corp","subject":"alice"}`, 400, `no provider has the issuer \"corp\"`},
		{"an issuer with another slash", "application/json", `{"issuer":"` + partner + `/","subject":"alice"}`, 400, "to the byte"},
	} {
		status, text := ask(t, h, "POST", "/revocations", tt.contentType, tt.body)
		var said struct{ Error string }
		if err := json.Unmarshal([]byte(text), &said); err != nil || said.Error == "" || status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s: got %d %s, %v; want %d %s", tt.name, status, text, err, tt.status, tt.says)
		}
	}
	if status, text := ask(t, New(Options{Revocations: &v}), "POST", "/revocations", "application/json", good); status != 400 || !strings.Contains(text, "there are: none") {
		t.Errorf("without providers: got %d %s", status, text)
	}
	log.Close()
	if !v.Empty() || b.Len() > 0 {
		t.Errorf("something was revoked: %+v, %s", v.Counts(), b.String())
	}
	if status, text := ask(t, h, "POST", "/revocations", "application/json; charset=utf-8", good); status != 204 || v.Empty() {
		t.Errorf("with a character set: got %d %s", status, text)
	}
}

func TestOnlyWhatIsThereAnswers(t *testing.T) {
	var v session.Revocations
	h := New(Options{Revocations: &v, Providers: both})
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"DELETE", "/revocations", 405}, {"PUT", "/revocations", 405}, {"POST", "/revocations/", 404}, {"POST", "/", 404}, {"GET", "/", 404}, {"GET", "/debug/pprof/", 404},
	} {
		if status, _ := ask(t, h, tt.method, tt.path, "application/json", `{"provider":"corp","subject":"alice"}`); status != tt.status {
			t.Errorf("%s %s: got %d, want %d", tt.method, tt.path, status, tt.status)
		}
	}
	if !v.Empty() {
		t.Errorf("something was revoked: %+v", v.Counts())
	}
}

func TestCounts(t *testing.T) {
	var v session.Revocations
	v.Session(session.ID{1}, time.Now().Add(time.Hour))
	h := New(Options{Revocations: &v, Providers: both})
	for _, body := range []string{
		`{"provider":"corp","subject":"alice"}`, `{"provider":"corp","subject":"bob"}`, `{"issuer":"` + corp + `","subject":"alice"}`,
		`{"provider":"corp","sid":"s"}`, `{"provider":"corp","token_id":"a"}`, `{"provider":"partner","token_id":"a"}`, `{"provider":"corp","token_id":"b"}`, `{"provider":"corp","client_id":"web"}`,
	} {
		revoke(t, h, body)
	}
	const want = `{"revocations":{"clients":1,"sessions":1,"sids":1,"subjects":2,"tokens":3}}` + "\n"
	if status, got := ask(t, h, "GET", "/revocations", "", ""); status != 200 || got != want {
		t.Errorf("got %d %s, want %s", status, got, want)
	}
}

// TestLoginAgain: a revocation is about the past, but for a token, which has none.
func TestLoginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v session.Revocations
		h := New(Options{Revocations: &v, Providers: both})
		issued := func(at time.Time) *session.Identity {
			return &session.Identity{Issuer: corp, Subject: "alice", TokenID: "t1", Issued: at}
		}
		at := time.Now()
		revoke(t, h, `{"provider":"corp","subject":"alice"}`)
		for _, tt := range []struct {
			name string
			who  *session.Identity
			want bool
		}{
			{"long before", issued(at.Add(-time.Hour)), true},
			{"in the same second", issued(at), true},
			{"in the next second", issued(at.Add(time.Second)), false},
			{"nobody knows when", issued(time.Time{}), true},
		} {
			if got := v.Revoked(tt.who); got != tt.want {
				t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
			}
		}
		revoke(t, h, `{"provider":"corp","token_id":"t1"}`)
		if !v.Revoked(issued(at.Add(time.Hour))) {
			t.Error("a revoked token isn't")
		}
	})
}

// TestHeldAsLongAsAnythingLives: no session and no token outlives its revocation, and
// no revocation stays forever.
func TestHeldAsLongAsAnythingLives(t *testing.T) {
	for _, tt := range []struct {
		name           string
		lifetime, held time.Duration
	}{
		{"short sessions, or none", time.Hour, longestToken},
		{"long sessions", 400 * 24 * time.Hour, 400 * 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			var v session.Revocations
			h := New(Options{Revocations: &v, Providers: both, Lifetime: tt.lifetime})
			before := &session.Identity{Issuer: corp, Subject: "alice", Issued: time.Now()}
			revoke(t, h, `{"provider":"corp","subject":"alice"}`)
			time.Sleep(tt.held)
			revoke(t, h, `{"provider":"corp","subject":"bob"}`) // drops what is over
			if !v.Revoked(before) {
				t.Errorf("%s: forgotten too early", tt.name)
			}
			time.Sleep(2 * time.Minute)
			revoke(t, h, `{"provider":"corp","subject":"carol"}`)
			if v.Revoked(before) || v.Counts().Subjects != 2 {
				t.Errorf("%s: still held, got %+v", tt.name, v.Counts())
			}
		})
	}
}

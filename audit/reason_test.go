package audit

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md again")

func TestReasonsAreComplete(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	// error_description: printable ASCII but for the quote and the backslash (RFC
	// 6750, 3; SEC-B7).
	public := regexp.MustCompile(`^[ !#-\[\]-~]*$`)
	seen := map[string]Reason{}
	for _, r := range Reasons() {
		if !name.MatchString(r.String()) {
			t.Errorf("%d: the name %q isn't words in small letters", r, r)
		}
		if before, taken := seen[r.String()]; taken {
			t.Errorf("%q is the name of %d and of %d", r, before, r)
		}
		seen[r.String()] = r
		if !public.MatchString(r.Public()) || len(r.Public()) > 80 {
			t.Errorf("%v: %q can't be an error_description", r, r.Public())
		}
		silent := r.Class() == ClassAllow || r == NoCredential
		if (r.Public() == "") != silent {
			t.Errorf("%v: the text for the client is %q", r, r.Public())
		}
		if hint := r.Hint(); len(hint) < 20 || !strings.HasSuffix(hint, ".") {
			t.Errorf("%v: the hint %q isn't a sentence", r, hint)
		}
	}
	if len(seen) != NumReasons {
		t.Errorf("got %d reasons, want %d", len(seen), NumReasons)
	}
}

func TestZeroReasonDenies(t *testing.T) {
	var r Reason
	if r != InternalError || r.Class() != ClassInternal {
		t.Errorf("got %v of class %d", r, r.Class())
	}
}

func TestUnknownReasonIsAnInternalError(t *testing.T) {
	for _, r := range []Reason{reasonCount, 255} {
		if r.Class() != ClassInternal || r.String() != "internal_error" || r.Public() != InternalError.Public() || r.Hint() != InternalError.Hint() {
			t.Errorf("got %v of class %d", r, r.Class())
		}
	}
}

// TestOnlyThreeReasonsAllow: a new reason has to be argued for here, if it opens.
func TestOnlyThreeReasonsAllow(t *testing.T) {
	for _, r := range Reasons() {
		if allows := r == Allowed || r == PublicRule || r == OwnEndpoint; (r.Class() == ClassAllow) != allows {
			t.Errorf("%v is of class %d", r, r.Class())
		}
	}
}

const manual = "../docs/reasons.md"

func TestManualIsFresh(t *testing.T) {
	want := renderManual()
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/reasons.md isn't what audit/reason.go says: go test ./audit -run Manual -update")
	}
}

// classes in the order of the manual.
var classes = []struct {
	class         Class
	title, answer string
}{
	{ClassAllow, "Let through", "The request goes on to the application."},
	{ClassMalformed, "Can't be understood", "Status 400, `invalid_request`. Asking again with the same request gives the same answer."},
	{ClassUnauthenticated, "No good credential", "Status 401 with a `WWW-Authenticate` challenge, or 403 without one where the rule says `unauthenticated_status: 403`. The error is `invalid_token`, but for `no_credential`, `insufficient_user_authentication` and some about DPoP proofs."},
	{ClassForbidden, "Not enough", "Status 403. Another credential may be enough, the same one isn't. The error is `access_denied`, but for `insufficient_scope`, which has a challenge too."},
	{ClassUnavailable, "Can't be decided now", "Status 503 with `Retry-After`, `temporarily_unavailable`. The credential may be good: ask again."},
	{ClassLogin, "A login that came to nothing", "A page with status 400, a reference number that the log has too, and a way on. No check of a request ends so."},
	{ClassInternal, "A fault of Credence", "Status 500, `server_error`."},
}

func renderManual() string {
	var b strings.Builder
	b.WriteString(`# Reasons

Every decision has exactly one reason, and the same word for it everywhere: the label
` + "`reason`" + ` of the metrics, the field of that name in the audit log, and ` + "`reason`" + ` in the body of
a denial. The set is closed; a reason is never renamed, nor its name used again.

The client reads one sentence, which says nothing about rules, tokens or keys; a gRPC
client gets it as its message, with the code that Envoy makes of the status. What was
found, with its figures, is the ` + "`detail`" + ` of the audit log: for the operator only.
`)
	for _, c := range classes {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.title, c.answer)
		for _, r := range Reasons() {
			if r.Class() != c.class {
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", r, r.Hint())
			if r.Public() != "" {
				fmt.Fprintf(&b, "\nThe client reads: %s\n", r.Public())
			}
		}
	}
	return b.String()
}

func TestManualHasEveryReason(t *testing.T) {
	text := renderManual()
	for _, r := range Reasons() {
		if strings.Count(text, "\n### "+r.String()+"\n") != 1 {
			t.Errorf("%v has no heading", r)
		}
	}
}

func TestStatusOfEveryClass(t *testing.T) {
	for class, want := range map[Class]int{
		ClassMalformed: 400, ClassLogin: 400, ClassUnauthenticated: 401, ClassForbidden: 403, ClassUnavailable: 503,
		ClassInternal: 500, ClassAllow: 500, 99: 500, // an allow has no answer of ours
	} {
		if got := class.Status(); got != want {
			t.Errorf("class %d: got %d, want %d", class, got, want)
		}
	}
}

package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

const generated = "../proto/credence/config/v1/config.pb.go"

// schemaComments are the comments of the schema by the full name of what they
// stand above, and that of the file under its package. They are read from the
// generated Go, which has them all.
func schemaComments(t *testing.T) map[protoreflect.FullName]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), generated, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	const pkg = "credence.config.v1"
	comments := map[protoreflect.FullName]string{pkg: strings.TrimSpace(file.Comments[0].Text())}
	note := func(name string, doc *ast.CommentGroup) {
		comments[protoreflect.FullName(pkg+"."+name)] = strings.TrimSpace(doc.Text())
	}
	fieldName := regexp.MustCompile(`protobuf:"[^"]*,name=(\w+)`)
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				note(spec.Name.Name, gen.Doc)
				if st, ok := spec.Type.(*ast.StructType); ok {
					for _, f := range st.Fields.List {
						if f.Tag == nil {
							continue
						}
						if name := fieldName.FindStringSubmatch(f.Tag.Value); name != nil {
							note(spec.Name.Name+"."+name[1], f.Doc)
						}
					}
				}
			case *ast.ValueSpec:
				if _, value, ok := strings.Cut(spec.Names[0].Name, "_"); ok {
					note(value, spec.Doc)
				}
			}
		}
	}
	return comments
}

// schemaEnums are the enums that a Config can hold.
func schemaEnums(t *testing.T) []protoreflect.EnumDescriptor {
	t.Helper()
	var enums []protoreflect.EnumDescriptor
	for _, fd := range schemaFields() {
		if fd.Enum() != nil {
			enums = append(enums, fd.Enum())
		}
	}
	return enums
}

// TestSchemaComments holds that the schema is a manual: everything in it is
// explained in sentences.
func TestSchemaComments(t *testing.T) {
	comments := schemaComments(t)
	explained := func(d protoreflect.Descriptor) {
		switch text := comments[d.FullName()]; {
		case text == "":
			t.Errorf("%s has no comment", d.FullName())
		case !strings.HasSuffix(text, "."):
			t.Errorf("%s: the comment doesn't end in a period", d.FullName())
		}
	}
	for _, m := range schemaMessages() {
		explained(m)
	}
	for _, fd := range schemaFields() {
		explained(fd)
	}
	for _, ed := range schemaEnums(t) {
		explained(ed)
		for i := range ed.Values().Len() {
			explained(ed.Values().Get(i))
		}
	}
}

// TestDefaults holds that a default is what the comment on its field promises,
// and that a value which a comment promises is filled in.
func TestDefaults(t *testing.T) {
	c := &configv1.Config{
		Providers: []*configv1.Provider{{Introspection: &configv1.Introspection{}, Userinfo: &configv1.UserInfo{}}},
		Clients:   []*configv1.Client{{}}, // what comes from its redirect_uri is in TestLoginDefaults
		Session:   &configv1.Session{},
		Dpop:      &configv1.DPoP{},
		Rules:     []*configv1.Rule{{}},
	}
	setDefaults(c)
	comments := schemaComments(t)
	promised := regexp.MustCompile(`Left out: ("[^"]*"|[\w:.]*\d[\w:]*|[a-z]+)\.(?:\s|$)`)
	filled := map[protoreflect.FullName]bool{}

	// around is the comment on the field that m stands in: it may speak for a
	// field of m, as that of listen.probe does for its address.
	var walk func(around string, m protoreflect.Message)
	walk = func(around string, m protoreflect.Message) {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			comment := comments[fd.FullName()]
			switch {
			case fd.IsList() && isMessage(fd):
				walk(comment, v.List().Get(0).Message())
			case isMessage(fd):
				walk(comment, v.Message())
			default:
				want := "Left out: " + defaultText(fd, v) + "."
				said := strings.ReplaceAll(oneLine(comment+" "+around), `"`, "")
				if !strings.Contains(said, want) {
					t.Errorf("%s: got %s, but the comment doesn't say %q", fd.FullName(), defaultText(fd, v), want)
				}
				filled[fd.FullName()] = true
			}
			return true
		})
	}
	walk("", c.ProtoReflect())

	for _, fd := range schemaFields() {
		if promise := promised.FindString(oneLine(comments[fd.FullName()])); promise != "" && !isMessage(fd) && fd.Kind() != protoreflect.BoolKind && !filled[fd.FullName()] {
			t.Errorf("%s: nothing is filled in, but the comment says %q", fd.FullName(), promise)
		}
	}

	again := proto.Clone(c).(*configv1.Config)
	setDefaults(again)
	if !proto.Equal(c, again) {
		t.Error("defaults replace what is there")
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// defaultText is a value as the comments write it, but for quotes.
func defaultText(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case fd.IsList():
		all := texts(v.List())
		last := len(all) - 1
		return strings.Join(append([]string{strings.Join(all[:max(1, last)], ", ")}, all[max(1, last):]...), " and ")
	case fd.Enum() != nil:
		return enumNames(fd.Enum())[v.Enum()-1]
	case fd.Message() != nil:
		return text(v)
	}
	return v.String()
}

// TestLoginDefaults holds what follows from a client's redirect_uri, and that what is
// about logins is there only where people log in.
func TestLoginDefaults(t *testing.T) {
	defaults := func(prefix, redirectURI string) *configv1.Client {
		client := &configv1.Client{Provider: "corp", RedirectUri: redirectURI}
		c := &configv1.Config{Login: &configv1.Login{Prefix: prefix}, Clients: []*configv1.Client{client}}
		setDefaults(c)
		return client
	}
	for _, tt := range []struct{ name, prefix, redirectURI, returnTo, signedOut string }{
		{"usual", "", "https://app.example.com/.credence/callback", "https://app.example.com", "https://app.example.com/.credence/signed-out"},
		{"port and prefix", "/a/b", "http://localhost:8443/a/b/callback", "http://localhost:8443", "http://localhost:8443/a/b/signed-out"},
		{"spelt oddly", "", "HTTPS://App.example.com:0443/x", "https://app.example.com", "https://app.example.com/.credence/signed-out"},
		{"no host", "", "https:/x", "", ""},
		{"not a URL", "", "https://[", "", ""},
	} {
		client := defaults(tt.prefix, tt.redirectURI)
		if got := strings.Join(client.GetReturnTo(), " "); got != tt.returnTo {
			t.Errorf("%s: got return_to %q, want %q", tt.name, got, tt.returnTo)
		}
		if got := client.GetPostLogoutRedirectUri(); got != tt.signedOut {
			t.Errorf("%s: got post_logout_redirect_uri %q, want %q", tt.name, got, tt.signedOut)
		}
	}
	c := &configv1.Config{Limits: &configv1.Limits{TrustedHops: new(uint32(0))}, Clients: []*configv1.Client{{Provider: "b"}},
		Providers: []*configv1.Provider{{Name: "a", Tokens: configv1.Tokens_TOKENS_INTROSPECTION}, {Name: "b", Tokens: configv1.Tokens_TOKENS_INTROSPECTION}}}
	setDefaults(c)
	if c.GetLimits().GetTrustedHops() != 0 {
		t.Error("no trusted hops became some")
	}
	if c.GetProviders()[0].GetKeys() != nil || c.GetProviders()[1].GetKeys() == nil {
		t.Error("keys aren't exactly where they are needed: where people log in, ID tokens are signed")
	}
	c = &configv1.Config{}
	setDefaults(c)
	if c.GetListen().GetLogin() != nil || c.GetLogin() != nil || c.GetSession() != nil {
		t.Error("logins have defaults where there are no clients")
	}
	c = &configv1.Config{Resources: []*configv1.Resource{{}}}
	setDefaults(c)
	if c.GetListen().GetLogin().GetAddress() != ":8080" || c.GetLogin() != nil {
		t.Error("the metadata of resources has no listener, or a login")
	}
}

// TestDefaultsAreValid holds that what is filled in breaks no rule of the schema.
func TestDefaultsAreValid(t *testing.T) {
	c := &configv1.Config{
		Providers: []*configv1.Provider{{Name: "corp", Issuer: "https://login.example.com", Audiences: []string{"api"}}},
		Clients:   []*configv1.Client{{Name: "web", Provider: "corp", ClientId: "web", RedirectUri: "https://app.example.com/.credence/callback"}},
		Session:   &configv1.Session{},
		Dpop:      &configv1.DPoP{Origins: []string{"https://api.example.com"}},
		Rules:     []*configv1.Rule{{Name: "all", Public: true}},
	}
	setDefaults(c)
	r := newReport(&File{})
	checkConstraints(r, c)
	if err := r.err(); err != nil {
		t.Error(err)
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Millisecond: "1.5s", 10 * time.Second: "10s", time.Minute: "1m", 70 * time.Second: "1m10s",
		time.Hour: "1h", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", -10 * time.Minute: "-10m",
	} {
		if got := text(protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect())); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

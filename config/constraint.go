package config

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/credence-authz/credence/proto/credence/config/v1"
)

// patterns says in words what the schema's regular expressions ask for.
var patterns = map[protoreflect.FullName]string{
	"credence.config.v1.Config.realm":      "letters, digits, spaces and . _ / : -",
	"credence.config.v1.Provider.name":     "a lower-case letter or a digit, then up to 62 of a-z, 0-9, _ and -",
	"credence.config.v1.Client.name":       "a lower-case letter or a digit, then up to 62 of a-z, 0-9, _ and -",
	"credence.config.v1.Client.scopes":     "one scope in each entry, without spaces, quotes and backslashes",
	"credence.config.v1.Cookie.name":       "up to 32 letters, digits, _ and -",
	"credence.config.v1.Login.prefix":      "a path such as /.credence, of letters, digits and . _ ~ -, without a slash at its end",
	"credence.config.v1.Secret.env":        "the name of an environment variable, of letters, digits and _",
	"credence.config.v1.Rule.name":         "a letter or a digit, then up to 62 letters, digits and _ . -",
	"credence.config.v1.Match.methods":     "a method in capitals, such as GET",
	"credence.config.v1.Bearer.scopes":     "one scope in each entry, without spaces, quotes and backslashes",
	"credence.config.v1.Bearer.acr_values": "one value in each entry, without spaces, quotes and backslashes",
	"credence.config.v1.Resource.name":     "a lower-case letter or a digit, then up to 62 of a-z, 0-9, _ and -",
	"credence.config.v1.Resource.scopes":   "one scope in each entry, without spaces, quotes and backslashes",
}

// examples are what to write where a required field is missing.
var examples = map[protoreflect.FullName]string{
	"credence.config.v1.Config.rules":               "[{name: health, match: {paths: [/healthz]}, public: true}]",
	"credence.config.v1.Provider.name":              "corp",
	"credence.config.v1.Provider.issuer":            "https://login.example.com",
	"credence.config.v1.Introspection.client_id":    "credence",
	"credence.config.v1.Client.name":                "web",
	"credence.config.v1.Client.provider":            "corp",
	"credence.config.v1.Client.client_id":           "web",
	"credence.config.v1.Client.redirect_uri":        "https://app.example.com/.credence/callback",
	"credence.config.v1.Rule.name":                  "api",
	"credence.config.v1.Bearer.providers":           "[corp]",
	"credence.config.v1.Resource.name":              "orders",
	"credence.config.v1.Resource.resource":          "https://api.example.com/v1",
	"credence.config.v1.Resource.providers":         "[corp]",
	"credence.config.v1.DPoP.origins":               "[https://api.example.com]",
	"credence.config.v1.AdminListener.address":      "unix:/run/credence/admin.sock",
	"credence.config.v1.ServerTLS.certificate_file": "/run/tls/tls.crt",
	"credence.config.v1.ServerTLS.key_file":         "/run/tls/tls.key",
}

// validators keeps what applies the rules for as long as configurations are being read,
// and no longer: it knows every message that is linked in, Envoy's too, which is half of
// all the memory that a server would have the collector look through each time.
var validators = sync.Pool{New: func() any {
	v, err := protovalidate.New()
	if err != nil {
		panic("config: " + err.Error()) // it was given nothing that could be wrong
	}
	return v
}}

// checkConstraints applies the rules that stand in the schema: to each provider,
// client, resource and rule by itself, so that a file full of errors can be left early.
func checkConstraints(r *report, c *configv1.Config) {
	v := validators.Get().(protovalidate.Validator)
	defer validators.Put(v)
	applyRules(r, v, "", c, protovalidate.WithFilter(protovalidate.FilterFunc(aboveEntries)))
	for i, provider := range c.GetProviders() {
		applyRules(r, v, fmt.Sprintf("providers[%d].", i), provider)
	}
	for i, client := range c.GetClients() {
		applyRules(r, v, fmt.Sprintf("clients[%d].", i), client)
	}
	for i, resource := range c.GetResources() {
		applyRules(r, v, fmt.Sprintf("resources[%d].", i), resource)
	}
	for i, rule := range c.GetRules() {
		applyRules(r, v, fmt.Sprintf("rules[%d].", i), rule)
	}
}

// aboveEntries filters out what is in providers, clients, resources and rules.
func aboveEntries(m protoreflect.Message, _ protoreflect.Descriptor) bool {
	switch m.Interface().(type) {
	case *configv1.Provider, *configv1.Client, *configv1.Resource, *configv1.Rule:
		return false
	}
	return true
}

// applyRules applies the rules of one message; prefix is the path to its fields.
func applyRules(r *report, v protovalidate.Validator, prefix string, m proto.Message, options ...protovalidate.ValidationOption) {
	if r.full {
		return
	}
	err := v.Validate(m, options...)
	if err == nil {
		return
	}
	invalid, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		panic("config: the schema's own rules are wrong: " + err.Error())
	}
	for _, violation := range invalid.Violations {
		path := violation.Proto.GetField()
		checkViolation(r, prefix+protovalidate.FieldPathString(path), fieldOf(m, path), violation)
	}
}

// checkViolation tells one violation in our words. What min_len, max_items,
// max_pairs and defined_only forbid was refused by the reader.
func checkViolation(r *report, field string, fd protoreflect.FieldDescriptor, v *protovalidate.Violation) {
	switch v.Proto.GetRuleId() {
	case "required", "repeated.min_items":
		r.errorf(field, "is missing; write %s: %s", fd.Name(), examples[fd.FullName()])
	case "repeated.unique":
		i := firstRepeat(v.FieldValue.List())
		r.errorf(fmt.Sprintf("%s[%d]", field, i), "is in the list twice; remove one")
	case "string.pattern":
		r.errorf(field, "is %s; write %s", quote(v.FieldValue.String()), patterns[fd.FullName()])
	case "string.max_len":
		r.errorf(field, "is too long; %d characters fit", v.RuleValue.Uint())
	case "string.in", "uint32.in":
		known := texts(v.RuleValue.List())
		r.errorf(field, "is %s; write one of %s", text(v.FieldValue), strings.Join(known, ", "))
	default:
		if limits := bounds(fd); limits != "" {
			r.errorf(field, "is %s; write %s", text(v.FieldValue), limits)
			return
		}
		r.errorf(field, "%s", v.Proto.GetMessage())
	}
}

// fieldOf is the last field on a path from m. A violation's own descriptor is
// nil where a value in a list or map is meant.
func fieldOf(m proto.Message, path *validate.FieldPath) protoreflect.FieldDescriptor {
	var fd protoreflect.FieldDescriptor
	in := m.ProtoReflect().Descriptor()
	for _, step := range path.GetElements() {
		fd = in.Fields().ByNumber(protoreflect.FieldNumber(step.GetFieldNumber()))
		in = fd.Message()
	}
	return fd
}

// maxEntries is how many entries a list or map may have.
func maxEntries(fd protoreflect.FieldDescriptor) int {
	rules, err := protovalidate.ResolveFieldRules(fd)
	if err != nil {
		panic("config: the schema's own rules are wrong: " + err.Error())
	}
	return int(max(rules.GetRepeated().GetMaxItems(), rules.GetMap().GetMaxPairs()))
}

// bounds says in words which numbers or durations a field takes, or is empty.
func bounds(fd protoreflect.FieldDescriptor) string {
	rules, err := protovalidate.ResolveFieldRules(fd)
	if err != nil || rules == nil {
		return ""
	}
	var of protoreflect.Message
	switch kind := rules.GetType().(type) {
	case *validate.FieldRules_Duration:
		of = kind.Duration.ProtoReflect()
	case *validate.FieldRules_Uint32:
		of = kind.Uint32.ProtoReflect()
	default:
		return ""
	}
	least, most, below := ruleText(of, "gte"), ruleText(of, "lte"), ruleText(of, "lt")
	switch {
	case least != "" && most != "":
		return least + " to " + most
	case least != "" && below != "":
		return least + " to less than " + below
	case most != "":
		return "at most " + most
	case least != "":
		return least + " or more"
	}
	return ""
}

// ruleText is the value of one rule, or empty where it isn't set.
func ruleText(rules protoreflect.Message, name protoreflect.Name) string {
	fd := rules.Descriptor().Fields().ByName(name)
	if !rules.Has(fd) {
		return ""
	}
	return text(rules.Get(fd))
}

// text is a value as the user would write it.
func text(v protoreflect.Value) string {
	switch v := v.Interface().(type) {
	case string:
		return quote(v)
	case protoreflect.Message:
		return durationText(v.Interface().(*durationpb.Duration).AsDuration())
	}
	return v.String()
}

func texts(list protoreflect.List) []string {
	all := make([]string, list.Len())
	for i := range all {
		all[i] = list.Get(i).String()
	}
	return all
}

// durationText is 24h where Duration.String is 24h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// firstRepeat is the first entry that stands in the list before.
func firstRepeat(list protoreflect.List) int {
	seen := map[string]bool{}
	for i, s := range texts(list) {
		if seen[s] {
			return i
		}
		seen[s] = true
	}
	return 0
}

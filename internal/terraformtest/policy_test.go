package terraformtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// statement is one of a policy, as IAM reads it: whatever may be one or many is many.
type statement struct {
	where     string // ADDRESS SID
	Sid       string
	Effect    string
	Action    many
	NotAction many
	Resource  many
	Principal principal
	Condition map[string]any
}

type many []string

func (m *many) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*m = many{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(m))
}

type principal many

func (p *principal) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] != '{' {
		return (*many)(p).UnmarshalJSON(text)
	}
	var by map[string]many
	if err := json.Unmarshal(text, &by); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		for _, who := range by[kind] {
			*p = append(*p, kind+" "+who)
		}
	}
	return nil
}

// statements reads all policies of resources that were made.
func statements(t *testing.T, made []Resource) (all []statement) {
	t.Helper()
	for _, r := range made {
		for _, argument := range []string{"policy", "assume_role_policy"} {
			text, is := r.Values[argument].(string)
			if !is || text == "" || text[0] != '{' {
				continue
			}
			var p struct{ Statement []statement }
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				t.Errorf("%s: %s: %v", r.Address, argument, err)
			}
			for _, s := range p.Statement {
				s.where = strings.TrimSpace(r.Address + " " + s.Sid)
				all = append(all, s)
			}
		}
		if r.Type == "aws_lambda_permission" {
			all = append(all, statement{where: r.Address, Effect: "Allow", Action: many{fmt.Sprint(r.Values["action"])}, Principal: principal{fmt.Sprint(r.Values["principal"])}})
		}
	}
	return all
}

// star is one place where a "*" stands, and why.
type star struct{ Where, Field, Star, Why string }

// checkStars finds every "*" that is not in the list, and notes which of the list there are.
func checkStars(all []statement, allowed []star, seen map[star]bool) (problems []string) {
	for _, s := range all {
		if s.NotAction != nil {
			problems = append(problems, s.where+": NotAction allows what nobody named")
		}
		for field, values := range map[string][]string{"Action": s.Action, "Resource": s.Resource, "Principal": s.Principal} {
			for _, v := range values {
				if !strings.Contains(v, "*") {
					continue
				}
				at := slices.IndexFunc(allowed, func(a star) bool { return a.Where == s.where && a.Field == field && a.Star == v })
				if at < 0 {
					problems = append(problems, fmt.Sprintf("%s: %s %q is not in tests/stars.json", s.where, field, v))
					continue
				}
				seen[allowed[at]] = true
			}
		}
	}
	return problems
}

// beyond is what roles may and no program of ours was seen to do, and why.
type beyond struct {
	Roles, Actions []string
	Why            string
}

// more is one action of one role that is beyond.
type more struct{ role, action string }

// readBeyond reads tests/beyond.json.
func readBeyond(t *testing.T) map[more]string {
	t.Helper()
	var all []beyond
	readJSON(t, "beyond.json", &all)
	why := map[more]string{}
	for _, b := range all {
		for _, role := range b.Roles {
			for _, a := range b.Actions {
				why[more{role, a}] = b.Why
			}
		}
	}
	return why
}

// checkActions compares what each role may do with what its program was seen to do (tests/actions.json, which make e2e-aws
// holds to what it records), no fewer and no more but what tests/beyond.json has, and notes which of that there is.
func checkActions(t *testing.T, all []statement, allowed map[more]string, seen map[more]bool) (problems []string) {
	t.Helper()
	var does map[string][]string
	readJSON(t, "actions.json", &does)
	may := map[string]map[string]bool{}
	for _, s := range all {
		role, is := strings.CutPrefix(s.where, "aws_iam_role_policy.")
		if !is || s.Effect != "Allow" {
			continue
		}
		role, _, _ = strings.Cut(role, " ")
		if may[role] == nil {
			may[role] = map[string]bool{}
		}
		for _, a := range s.Action {
			may[role][a] = true
		}
	}
	for program, actions := range does {
		role := `function["` + program + `"]`
		if may[role] == nil && slices.Contains([]string{"audit", "sessions", "keys"}, program) {
			continue // is made where records are kept, or sessions, or an issuer may be out of reach
		}
		for _, a := range actions {
			if !may[role][a] {
				problems = append(problems, fmt.Sprintf("%s calls %s, which its role may not", program, a))
			}
			delete(may[role], a)
		}
	}
	for role := range may {
		for _, a := range slices.Sorted(maps.Keys(may[role])) {
			if allowed[more{role, a}] == "" {
				problems = append(problems, fmt.Sprintf("the role of %s may %s, which was never recorded, and tests/beyond.json does not say why", role, a))
			}
			seen[more{role, a}] = true
		}
	}
	return problems
}

// checkBuckets finds buckets that are not wholly private, versioned, encrypted and TLS only.
func checkBuckets(made []Resource) (problems []string) {
	of := map[string][]Resource{}
	for _, r := range made {
		if b, is := r.Values["bucket"].(string); is {
			of[b] = append(of[b], r)
		}
	}
	for _, r := range made {
		if r.Type != "aws_s3_bucket" {
			continue
		}
		has := map[string]bool{}
		for _, about := range of[r.Values["bucket"].(string)] {
			switch about.Type {
			case "aws_s3_bucket_public_access_block":
				v := about.Values
				has["public access is blocked"] = v["block_public_acls"] == true && v["block_public_policy"] == true && v["ignore_public_acls"] == true && v["restrict_public_buckets"] == true
			case "aws_s3_bucket_versioning":
				has["versions are kept"] = slices.Equal(valuesAt(about.Values, []string{"versioning_configuration", "status"}), []any{"Enabled"})
			case "aws_s3_bucket_server_side_encryption_configuration":
				has["it is encrypted by our key"] = slices.Equal(valuesAt(about.Values, []string{"rule", "apply_server_side_encryption_by_default", "sse_algorithm"}), []any{"aws:kms"})
			case "aws_s3_bucket_lifecycle_configuration":
				has["old versions end"] = len(valuesAt(about.Values, []string{"rule", "noncurrent_version_expiration", "noncurrent_days"})) > 0
			case "aws_s3_bucket_policy":
				has["it is read over TLS only"] = strings.Contains(fmt.Sprint(about.Values["policy"]), `"aws:SecureTransport":"false"`)
			case "aws_s3_bucket_acl", "aws_s3_bucket_website_configuration":
				problems = append(problems, about.Address+": no bucket of ours has one")
			}
		}
		for _, must := range []string{"public access is blocked", "versions are kept", "it is encrypted by our key", "old versions end", "it is read over TLS only"} {
			if !has[must] {
				problems = append(problems, r.Address+" is not so: "+must)
			}
		}
	}
	return problems
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "terraform", "tests", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

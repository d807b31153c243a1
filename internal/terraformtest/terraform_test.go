package terraformtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/peers"
)

// modules are all root modules, by their folders.
var modules = []string{".", "examples/minimal", "examples/complete", "knative"}

func TestFormat(t *testing.T) {
	need(t)
	out, err := Folder{Path: filepath.Join(root, "terraform"), Mirror: mirror}.Run(t.Context(), "fmt", "-check", "-recursive", "-no-color")
	if err != nil {
		t.Errorf("terraform fmt -recursive terraform mends it: %s", out)
	}
}

func TestValidate(t *testing.T) {
	for _, module := range modules {
		t.Run(module, func(t *testing.T) {
			f := open(t, module)
			if _, err := f.Run(t.Context(), "validate", "-no-color"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLint runs tflint with its own rules, and has it find a variable that nobody reads.
func TestLint(t *testing.T) {
	need(t)
	program, err := peers.Installer{Dir: cacheFolder(t)}.Go(t.Context(), peers.TFLint)
	if err != nil {
		t.Fatal(err)
	}
	f := copyModules(t)
	lint := func(module string) (string, error) {
		c := exec.CommandContext(t.Context(), program, "--config", filepath.Join(f.Path, ".tflint.hcl"), "--no-color", "--format", "compact")
		c.Dir = filepath.Join(f.Path, module)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, module := range modules {
		if out, err := lint(module); err != nil {
			t.Errorf("%s: %v\n%s", module, err, out)
		}
	}
	write(t, filepath.Join(f.Path, "planted.tf"), "variable \"planted\" {\n  type = string\n}\n")
	if out, err := lint("."); err == nil || !strings.Contains(out, "terraform_unused_declarations") || !strings.Contains(out, "terraform_documented_variables") {
		t.Errorf("a variable that nobody reads or describes is not found: %v %s", err, out)
	}
}

// TestAssertions runs what is written in Terraform's own language.
func TestAssertions(t *testing.T) {
	f := open(t, ".")
	if err := f.SetVariables(variables(nil)); err != nil {
		t.Fatal(err)
	}
	out, err := f.Run(t.Context(), "test", "-no-color")
	if err != nil {
		t.Fatal(err)
	}
	last := strings.TrimSpace(out)
	t.Log(last[strings.LastIndex(last, "\n")+1:])
}

// TestEdge runs the tests of the scripts at CloudFront's edge.
func TestEdge(t *testing.T) {
	need(t)
	if out, err := exec.CommandContext(t.Context(), "node", "--test", filepath.Join(root, "terraform", "edge", "index.test.mjs")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRules holds every shape's plan to what only the provider and AWS know, and each rule to there being something to hold.
func TestRules(t *testing.T) {
	f := open(t, ".")
	used := map[string]int{}
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			plan, err := f.MakePlan(t.Context(), variables(shape))
			if err != nil {
				t.Fatal(err)
			}
			problems, here := checkRules(plan.Resources(""))
			for _, p := range problems {
				t.Error(p)
			}
			for at, n := range here {
				used[at] += n
			}
			t.Logf("%d resources", len(plan.Resources("")))
		})
	}
	for _, r := range rules {
		if used[r.at] == 0 {
			t.Errorf("nothing is held to the rule of %s", r.at)
		}
	}
	t.Logf("%d rules", len(rules))
}

// TestApply makes each shape, and looks at what was made: who may do what, a second plan without changes, and nothing that
// is left when it is destroyed.
func TestApply(t *testing.T) {
	f := open(t, ".")
	var stars []star
	readJSON(t, "stars.json", &stars)
	seen, allowed, needed := map[star]bool{}, readBeyond(t), map[more]bool{}
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			all := variables(shape)
			maps.Copy(all, map[string]any{"removable": true})
			made := f.apply(t, all)
			policies := statements(t, made)
			for _, problems := range [][]string{checkStars(policies, stars, seen), checkActions(t, policies, allowed, needed), checkBuckets(made), checkDocuments(t, made, policies)} {
				for _, p := range problems {
					t.Error(p)
				}
			}
			f.unchanged(t)
			if _, err := f.Run(t.Context(), "destroy", "-no-color", "-auto-approve"); err != nil {
				t.Fatal(err)
			}
			left, err := f.State(t.Context())
			if err != nil || len(left) > 0 {
				t.Errorf("%d are left, %v", len(left), err)
			}
			t.Logf("%d made, %d statements", len(made), len(policies))
		})
	}
	for _, s := range stars {
		if !seen[s] {
			t.Errorf("tests/stars.json has %s %s %q, which is nowhere", s.Where, s.Field, s.Star)
		}
		if s.Why == "" {
			t.Errorf("tests/stars.json does not say why %s has %q", s.Where, s.Star)
		}
	}
	for m := range allowed {
		if !needed[m] {
			t.Errorf("tests/beyond.json has %s for the role of %s, which may not or was seen to do it", m.action, m.role)
		}
	}
}

// apply makes what variables say, and returns it.
func (f Folder) apply(t *testing.T, variables map[string]any) []Resource {
	t.Helper()
	if err := f.SetVariables(variables); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run(t.Context(), "apply", "-no-color", "-auto-approve"); err != nil {
		t.Fatal(err)
	}
	made, err := f.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestServersHaveNoIdentity: nothing gives a pod's service account a role.
func TestServersHaveNoIdentity(t *testing.T) {
	f := open(t, ".")
	plan, err := f.MakePlan(t.Context(), variables(everything()))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range plan.Resources("") {
		switch r.Type {
		case "aws_eks_pod_identity_association", "aws_iam_openid_connect_provider", "aws_eks_access_policy_association":
			t.Errorf("%s", r.Address)
		}
	}
}

// TestBadCatalog is refused when it is planned, with file and line.
func TestBadCatalog(t *testing.T) {
	f := open(t, ".")
	for text, want := range map[string]string{
		"apiVersion: v1\nservers:\n  - id: Notes\n": "catalog.yaml:3",
		"apiVersion: v1\nsevrers: []\n":             "catalog.yaml:2",
	} {
		file := filepath.Join(t.TempDir(), "catalog.yaml")
		write(t, file, text)
		_, err := f.MakePlan(t.Context(), variables(map[string]any{"catalog": file}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestCountedLines: what a metric counts is a field of the records that functions write.
func TestCountedLines(t *testing.T) {
	f := open(t, ".")
	plan, err := f.MakePlan(t.Context(), variables(nil))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(audit.Record{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	fields, filters := map[string]any{}, plan.Resources("aws_cloudwatch_log_metric_filter")
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, filter := range filters {
		for _, field := range regexp.MustCompile(`\$\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(filter.Values["pattern"]), -1) {
			if _, is := fields[field[1]]; !is {
				t.Errorf("%s counts %s, which no record has", filter.Address, field[1])
			}
		}
	}
	if len(filters) == 0 {
		t.Error("nothing is counted")
	}
}

// TestHalfApplied: what an apply left that stopped halfway, the next one completes.
func TestHalfApplied(t *testing.T) {
	f := open(t, ".")
	if err := f.SetVariables(variables(everything())); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run(t.Context(), "apply", "-no-color", "-auto-approve", "-target=aws_lambda_function.this", "-target=aws_dynamodb_table.oauth"); err != nil {
		t.Fatal(err)
	}
	half, err := f.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made := f.apply(t, variables(everything()))
	if len(half) == 0 || len(half) >= len(made) {
		t.Errorf("%d, then %d", len(half), len(made))
	}
	f.unchanged(t)
}

// TestChangedFront: CloudFront, and so the URL, stays; what is behind it is another, and the one before is gone.
func TestChangedFront(t *testing.T) {
	f := open(t, ".")
	f.apply(t, variables(map[string]any{"front": "url"}))
	before, err := f.Output(t.Context(), "url")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.apply(t, variables(map[string]any{"front": "rest"})) {
		if r.Type == "aws_lambda_function_url" {
			t.Errorf("%s is left", r.Address)
		}
	}
	if after, err := f.Output(t.Context(), "url"); err != nil || after != before {
		t.Errorf("the URL was %v, and is %v, %v", before, after, err)
	}
	f.unchanged(t)
}

// unchanged has a second plan find nothing to do.
func (f Folder) unchanged(t *testing.T) {
	t.Helper()
	if out, err := f.Run(t.Context(), "plan", "-no-color", "-detailed-exitcode"); err != nil || !strings.Contains(out, "No changes.") {
		t.Errorf("a second plan has changes: %v %s", err, out)
	}
}

// TestMissingPrograms: what make has not made yet is said in a sentence.
func TestMissingPrograms(t *testing.T) {
	f := open(t, ".")
	v := variables(nil)
	delete(v, "packages")
	_, err := f.MakePlan(t.Context(), v)
	if err == nil || !strings.Contains(err.Error(), "make package makes it") {
		t.Errorf("zips: %v", err)
	}
	v = variables(nil)
	delete(v, "checker")
	if _, err = f.MakePlan(t.Context(), v); err == nil || !strings.Contains(strings.Join(strings.Fields(err.Error()), " "), "The program that checks catalogs is missing") {
		t.Errorf("checker: %v", err)
	}
}

// TestVariables: each is typed, described and validated; what is true or false has nothing to validate.
func TestVariables(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "terraform", "*", "variables.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "terraform", "variables.tf")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split("\n"+string(text), "\nvariable ")[1:] {
			for _, must := range []string{"\n  type ", "\n  description ", "\n  validation {"} {
				if !strings.Contains(strings.ReplaceAll(block, "=", " "), must) && !strings.Contains(block, "= bool\n") {
					t.Errorf("%s: %s has no %s", file, block[:20], strings.TrimSpace(must))
				}
			}
		}
	}
}

// TestOverride: an example takes the override for LocalStack, and what it is told to make there needs nothing that is not there.
func TestOverride(t *testing.T) {
	f := open(t, "examples/minimal")
	text, err := os.ReadFile(filepath.Join(root, "localstack", "providers_override.tf"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(f.Path, "providers_override.tf"), string(text))
	out, err := f.Run(t.Context(), "plan", "-no-color", "-out=plan", "-target=module.gateway.aws_dynamodb_table.oauth", "-target=module.gateway.aws_s3_bucket.this",
		"-var=identity_url=https://login.example.com", "-var=client_id=x", "-var=shim=registry.example.com/mcp/shim:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out, "\n") {
		if _, made, is := strings.Cut(line, "# module.gateway."); is && !regexp.MustCompile(`^(aws_dynamodb_table|aws_s3_bucket|aws_kms_key)\.`).MatchString(made) {
			t.Errorf("made, too: %s", made)
		}
	}
	if !strings.Contains(out, "aws_dynamodb_table.oauth will be created") {
		t.Error(out)
	}
}

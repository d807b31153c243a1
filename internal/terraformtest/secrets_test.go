package terraformtest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// checkReader looks at what alone reads secrets: one account of the cluster, only what the deployer named a version of.
func checkReader(t *testing.T, found map[string]Resource, made []Resource) {
	t.Helper()
	association := found["aws_eks_pod_identity_association.secrets[0]"].Values
	var read, trusted bool
	for _, s := range statements(t, made) {
		switch condition := fmt.Sprint(s.Condition); {
		case slices.Equal(s.Action, many{"secretsmanager:GetSecretValue"}):
			read = slices.Equal(s.Resource, many{"arn:aws:secretsmanager:eu-central-1:123456789012:secret:mcp/*"}) && condition == "map[Null:map[secretsmanager:VersionId:false]]"
		case slices.Equal(s.Action, many{"kms:Decrypt"}):
			if !strings.Contains(condition, "kms:ViaService:[secretsmanager.eu-central-1.amazonaws.com]") {
				t.Errorf("%s for whatever: %s", s.where, condition)
			}
		case slices.Contains(s.Action, "sts:AssumeRole"):
			trusted = slices.Equal(s.Principal, principal{"Service pods.eks.amazonaws.com"}) &&
				strings.Contains(condition, fmt.Sprint("kubernetes-namespace:", association["namespace"])) &&
				strings.Contains(condition, fmt.Sprint("kubernetes-service-account:", association["service_account"])) &&
				strings.Contains(condition, "aws:SourceAccount:123456789012")
		default:
			t.Errorf("%s may %v", s.where, s.Action)
		}
	}
	if !read || !trusted || association["role_arn"] != found["aws_iam_role.secrets[0]"].Values["arn"] {
		t.Errorf("read: %v, trusted: %v, %v", read, trusted, association)
	}
}

// checkOperator looks at how the operator is installed, and from where it reads.
func checkOperator(t *testing.T, folder string, found map[string]Resource) {
	t.Helper()
	values := helmValues(t, found["helm_release.secrets[0]"])
	if values["scopedNamespace"] != "mcp-servers" || values["scopedRBAC"] != true || values["processClusterStore"] != false ||
		at(values, "serviceAccount", "name") != found["aws_eks_pod_identity_association.secrets[0]"].Values["service_account"] {
		t.Errorf("the operator has %v", values)
	}
	store := render(t, filepath.Join(folder, "store"), helmValues(t, found["helm_release.store[0]"]))["SecretStore mcp-servers/mcpgateway"]
	if got := fmt.Sprint(at(store, "spec")); got != "map[provider:map[aws:map[prefix:mcp/ region:eu-central-1 service:SecretsManager]]]" {
		t.Errorf("it reads from %s", got)
	}
}

// helmValues are those of a release, but what is not shown.
func helmValues(t *testing.T, release Resource) map[string]any {
	t.Helper()
	texts, _ := release.Values["values"].([]any)
	if len(texts) != 1 {
		t.Fatalf("%s has %d values", release.Address, len(texts))
	}
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(texts[0].(string)), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// TestSecretsElsewhere: where operators make Secrets themselves, nothing of Secrets Manager's is there.
func TestSecretsElsewhere(t *testing.T) {
	f := open(t, ".")
	made := f.apply(t, variables(map[string]any{"removable": true, "secrets": "kubernetes"}))
	for _, r := range made {
		if strings.HasPrefix(r.Type, "aws_cloudwatch_event_") {
			t.Errorf("%s", r.Address)
		}
	}
	for _, s := range statements(t, made) {
		if strings.Contains(fmt.Sprint(s.Action), "secretsmanager:") {
			t.Errorf("%s may %v", s.where, s.Action)
		}
	}
	gateway, err := f.Output(t.Context(), "knative")
	if err != nil {
		t.Fatal(err)
	}
	k := f
	k.Path += "/knative"
	k.initialize(t)
	for _, r := range k.apply(t, map[string]any{"gateway": gateway, "images": []string{"registry.example.com/mcp/"}, "shim_images": []string{"registry.example.com/mcp/shim"}}) {
		if r.Name == "secrets" || r.Name == "store" {
			t.Errorf("%s", r.Address)
		}
	}
}

// TestRotationIsHeard: what CloudTrail says of an entry's new value wakes the deployer, and nothing else does (Secrets Manager
// user guide, "Match Secrets Manager events with Amazon EventBridge").
func TestRotationIsHeard(t *testing.T) {
	f := open(t, ".")
	plan, err := f.MakePlan(t.Context(), variables(nil))
	if err != nil {
		t.Fatal(err)
	}
	rules := plan.Resources("aws_cloudwatch_event_rule")
	if len(rules) != 1 {
		t.Fatalf("%d rules", len(rules))
	}
	var pattern map[string]any
	if err := json.Unmarshal([]byte(fmt.Sprint(rules[0].Values["event_pattern"])), &pattern); err != nil {
		t.Fatal(err)
	}
	const call, service = "AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
	for name, e := range map[string]struct {
		kind, event, detail string
		heard               bool
	}{
		"a new value, by name":    {call, "PutSecretValue", `"requestParameters": {"secretId": "mcp/github/server"}`, true},
		"a new value, by ARN":     {call, "UpdateSecret", `"requestParameters": {"secretId": "` + arn + `mcp/github/server-AbCdEf"}`, true},
		"a new secret":            {call, "CreateSecret", `"requestParameters": {"name": "mcp/github/server"}`, true},
		"a rotation":              {service, "RotationSucceeded", `"additionalEventData": {"SecretId": "` + arn + `mcp/github/server-AbCdEf"}`, true},
		"another label":           {call, "UpdateSecretVersionStage", `"requestParameters": {"secretId": "mcp/github/shim"}`, true},
		"another's value":         {call, "PutSecretValue", `"requestParameters": {"secretId": "billing/key"}`, false},
		"another's rotation":      {service, "RotationSucceeded", `"additionalEventData": {"SecretId": "` + arn + `billing-AbCdEf"}`, false},
		"a value that is read":    {call, "GetSecretValue", `"requestParameters": {"secretId": "mcp/github/server"}`, false},
		"a version that is asked": {call, "DescribeSecret", `"requestParameters": {"secretId": "mcp/github/server"}`, false},
	} {
		var event map[string]any
		text := fmt.Sprintf(`{"source": "aws.secretsmanager", "detail-type": %q, "detail": {"eventName": %q, %s}}`, e.kind, e.event, e.detail)
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			t.Fatal(err)
		}
		if heard(pattern, event) != e.heard {
			t.Errorf("%s is heard: %v", name, !e.heard)
		}
	}
}

// heard says whether a pattern takes an event, with what ours uses of them (EventBridge user guide, "Comparison operators").
func heard(pattern map[string]any, event map[string]any) bool {
	for field, want := range pattern {
		switch want := want.(type) {
		case map[string]any:
			inner, _ := event[field].(map[string]any)
			if !heard(want, inner) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(w any) bool {
				m, is := w.(map[string]any)
				text, _ := event[field].(string)
				switch {
				case field == "$or":
					return heard(m, event)
				case is:
					return text != "" && strings.HasPrefix(text, fmt.Sprint(m["prefix"]))
				}
				return w == event[field]
			}) {
				return false
			}
		}
	}
	return true
}

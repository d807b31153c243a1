package terraformtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace edits a file, in which the old text is once.
func replace(t *testing.T, file, old, text string) {
	t.Helper()
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(all), old) != 1 {
		t.Fatalf("%s has %q %d times", file, old, strings.Count(string(all), old))
	}
	write(t, file, strings.Replace(string(all), old, text, 1))
}

// TestFaults plants mistakes that Terraform with a schema stub takes, and has the tests find them.
func TestFaults(t *testing.T) {
	var stars []star
	readJSON(t, "stars.json", &stars)
	allowed := readBeyond(t)
	for name, fault := range map[string]struct{ file, old, text, found string }{
		"a wildcard action":           {"iam.tf", `"dynamodb:Query",`, `"dynamodb:*",`, `Action "dynamodb:*" is not in tests/stars.json`},
		"a wildcard resource":         {"iam.tf", `Resource = [aws_dynamodb_table.oauth.arn]`, `Resource = ["*"]`, `Resource "*" is not in tests/stars.json`},
		"a permission too many":       {"iam.tf", `Action   = ["s3:GetObject"]`, `Action   = ["s3:GetObject", "s3:PutObject"]`, "may s3:PutObject, which was never recorded"},
		"more for who is no program":  {"iam.tf", `Action = ["lambda:InvokeFunction"], Resource = [for f`, `Action = ["lambda:InvokeFunction", "lambda:GetFunction"], Resource = [for f`, "the role of scheduler may lambda:GetFunction, which was never recorded"},
		"a value that is read":        {"iam.tf", `"secretsmanager:DescribeSecret"`, `"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"`, `the role of function["deployer"] may secretsmanager:GetSecretValue, which was never recorded`},
		"a missing permission":        {"iam.tf", `"dynamodb:DeleteItem", "dynamodb:DescribeTable", `, `"dynamodb:DeleteItem", `, "oauth calls dynamodb:DescribeTable, which its role may not"},
		"all objects of records":      {"iam.tf", `/${folder}/*"]`, `/*"]`, `is not in tests/stars.json`},
		"another's secrets":           {"iam.tf", `"ingress.pem", "name.key"]`, `"ingress.pem", "name.key", "oauth/*"]`, `is not in tests/stars.json`},
		"another's document":          {"iam.tf", `for k in local.brought : "${aws_s3_bucket.this["documents"].arn}/${local.documents}/${k}"`, `for k in ["platform.yaml"] : "${aws_s3_bucket.this["documents"].arn}/${local.documents}/${k}"`, "keys writes arn:aws:s3:::mcp-documents-123456789012-eu-central-1/documents/platform.yaml"},
		"a document too many":         {"iam.tf", `"oauth/seal.key", "oauth/provider"]`, `"oauth/seal.key", "oauth/provider", "state/rules.key"]`, "oauth may read state/rules.key"},
		"a document that is missing":  {"iam.tf", `"name.key", "state/rules.key"]`, `"name.key"]`, "deployer looks for state/rules.key"},
		"a platform that is none":     {"storage.tf", `publicURL  = local.public_url`, `publicUrl  = local.public_url`, `unknown field "publicUrl"`},
		"a public bucket":             {"storage.tf", `block_public_policy     = true`, `block_public_policy     = false`, "is not so: public access is blocked"},
		"a bucket in the clear":       {"storage.tf", `sse_algorithm     = "aws:kms"`, `sse_algorithm     = "AES256"`, "is not so: it is encrypted by our key"},
		"a wrong enumeration":         {"storage.tf", `billing_mode                = "PAY_PER_REQUEST"`, `billing_mode                = "ON_DEMAND"`, `billing_mode "ON_DEMAND" is none of`},
		"a wrong enumeration inside":  {"front.tf", `origin_protocol_policy   = "https-only"`, `origin_protocol_policy   = "https"`, `"https" is none of`},
		"a number out of range":       {"front.tf", `origin_read_timeout      = 60 #`, `origin_read_timeout      = 600 #`, "origin_read_timeout 600 is not from 1 to 120"},
		"what is no ARN":              {"front.tf", `acm_certificate_arn            = var.domain == null ? null : var.domain.certificate_arn`, `acm_certificate_arn            = "certificate/1"`, "is no ARN"},
		"an administrator in the pod": {"cluster.tf", `["mcpgateway-${each.key}"]`, `["system:masters"]`, `"system:masters" is not of the form`},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, ".")
			replace(t, filepath.Join(f.Path, fault.file), fault.old, fault.text)
			made := f.apply(t, variables(everything()))
			policies := statements(t, made)
			problems, _ := checkRules(made)
			problems = append(problems, checkStars(policies, stars, map[star]bool{})...)
			problems = append(append(problems, checkActions(t, policies, allowed, map[more]bool{})...), checkBuckets(made)...)
			problems = append(problems, checkDocuments(t, made, policies)...)
			if all := strings.Join(problems, "\n"); !strings.Contains(all, fault.found) {
				t.Errorf("not found: %q in\n%s", fault.found, all)
			}
		})
	}
}

// TestStubFaults plants mistakes that the schema stub itself refuses.
func TestStubFaults(t *testing.T) {
	for name, fault := range map[string]struct{ file, old, text, found string }{
		"an argument that is none": {"storage.tf", `hash_key                    = "part"`, "hash_key                    = \"part\"\n  hash_keys = \"part\"", `An argument named "hash_keys" is not expected here`},
		"an argument that is left": {"observe.tf", `dashboard_name = var.name`, ``, `The argument "dashboard_name" is required`},
		"a type that is another":   {"main.tf", `memory_size      = each.value.memory`, `memory_size      = "much"`, "a number is required"},
		"a block that is none":     {"storage.tf", "  ttl {\n", "  time_to_live {\n", `Blocks of type "time_to_live" are not expected here`},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, ".")
			replace(t, filepath.Join(f.Path, fault.file), fault.old, fault.text)
			_, err := f.Run(t.Context(), "validate", "-no-color")
			if err == nil || !strings.Contains(strings.Join(strings.Fields(err.Error()), " "), fault.found) {
				t.Errorf("%v", err)
			}
		})
	}
}

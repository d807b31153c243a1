package e2eaws

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/audit/sink"
	"mcpgateway/internal/awsenv/awsenvtest"
	"mcpgateway/internal/identity"
	"mcpgateway/internal/secret"
	"mcpgateway/internal/store/dynamo/dynamotest"
	"mcpgateway/internal/terraformtest"
	"mcpgateway/localstack/lambda"
)

const root = "../.."

// public is where clients are: of a domain for which the certificates of tests are.
const public = "https://mcp.example.com"

func TestMain(m *testing.M) {
	code := m.Run()
	dynamotest.Stop()
	os.Exit(code)
}

// build makes the programs of functions, and returns their folder.
func build(t *testing.T, folder string) string {
	t.Helper()
	for _, program := range []string{"functions/gateway", "functions/deployer", "functions/oauth", "functions/audit", "functions/sessions", "functions/keys", "cmd/mcpgateway"} {
		c := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, filepath.Base(program)), "./"+program)
		c.Dir, c.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, zip := range []string{"gateway-arm64", "deployer-arm64", "oauth-arm64", "audit-arm64", "sessions-arm64", "keys-arm64", "edge"} { // of which Terraform reads a hash
		if err := os.WriteFile(filepath.Join(folder, zip+".zip"), []byte(zip), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// plan copies the modules and has Terraform begin.
func (w *world) plan(programs, front string) terraformtest.Folder {
	w.t.Helper()
	scratch := w.t.TempDir()
	cache, err := filepath.Abs(filepath.Join(root, ".cache", "peers"))
	if err != nil {
		w.t.Fatal(err)
	}
	mirror, err := terraformtest.Install(w.t.Context(), root, cache, scratch, []string{root + "/terraform"})
	if err != nil {
		w.t.Fatal(err)
	}
	f := terraformtest.Folder{Path: filepath.Join(scratch, "terraform"), Mirror: mirror}
	if err := os.CopyFS(f.Path, os.DirFS(filepath.Join(root, "terraform"))); err != nil {
		w.t.Fatal(err)
	}
	catalog := filepath.Join(scratch, "catalog.yaml")
	if err := os.WriteFile(catalog, []byte("apiVersion: v1\nservers:\n  - id: notes\n    title: Notes\n"+
		"    runtime: {container: {image: \"registry.example.com/mcp/notes:v1\", port: 8080, path: /mcp}}\n"+
		"  - id: other\n    title: Other\n    runtime: {container: {image: \"registry.example.com/mcp/other:v1\", port: 8080, path: /mcp}}\n    startup: {timeout: 5s}\n    env: [{name: TOKEN, secret: {key: token}}]\n"+
		"policies:\n  - {name: engineers, allow: {groups: [engineering]}, servers: [notes, other], tools: [\"*\"]}\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := f.SetVariables(map[string]any{"front": front, "catalog": catalog, "packages": programs, "checker": filepath.Join(programs, "mcpgateway"),
		"identity": map[string]any{"url": w.issuer.URL, "client_id": "mcpgateway"}, "images": map[string]any{"shim": "registry.example.com/mcp/shim:v1"},
		"domain":    map[string]any{"name": "mcp.example.com", "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"},
		"audit":     map[string]any{"auditors": []string{"security"}},
		"sessions":  true,
		"removable": true, "cluster": "existing",
		"existing_cluster": map[string]any{"name": "apps", "vpc_id": "vpc-0123456789abcdef0", "subnet_ids": []string{"subnet-0123456789abcdef0"}, "dual_stack": true},
		"ingress":          map[string]any{"url": w.cluster.ingress.URL, "domain": "example.test", "ca": w.cluster.authority}}); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// run has Terraform do something, and returns what there is then.
func (w *world) run(f terraformtest.Folder, args ...string) []terraformtest.Resource {
	w.t.Helper()
	if _, err := f.Run(w.t.Context(), append(args, "-no-color")...); err != nil {
		w.t.Fatal(err)
	}
	if args[0] == "init" {
		return nil
	}
	made, err := f.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// TestAWS plans, applies, has clients use the URL, and destroys, with either front.
func TestAWS(t *testing.T) {
	if os.Getenv("TEST_AWS") == "" {
		t.Skip("it needs Terraform, Node.js, Java and npm: TEST_AWS is not set, make e2e-aws sets it")
	}
	programs := build(t, t.TempDir())
	for front, kind := range map[string]lambda.EventKind{"url": lambda.FunctionURL, "rest": lambda.RESTAPI} {
		t.Run(front, func(t *testing.T) {
			w := newWorld(t)
			w.programs = programs
			f := w.plan(programs, front)
			w.run(f, "init", "-backend=false")
			made := w.run(f, "apply", "-auto-approve")
			w.readPolicies(made)
			w.land(made)
			// CloudFront first, since functions ask each other by the public name; its origins come after.
			fronts := map[string]string{}
			w.startCloudFront(made, fronts)
			others := map[string]string{"HTTPS_PROXY": w.startProxy()}
			for _, function := range []string{"oauth", "audit", "sessions", "gateway"} {
				fronts[function] = w.start(made, function, kind, others).URL()
			}
			address, err := f.Output(t.Context(), "url")
			if err != nil || address != public {
				t.Fatalf("the URL is %v, %v", address, err)
			}
			w.traffic(fronts)
			w.checkActions()
			left := w.run(f, "destroy", "-auto-approve")
			w.unland(made, left)
			w.nothing(left)
		})
	}
}

// nothing is left, in Terraform's state and where it landed.
func (w *world) nothing(left []terraformtest.Resource) {
	w.t.Helper()
	for _, r := range left {
		w.t.Errorf("left: %s", r.Address)
	}
	tables, err := w.dynamodb.ListTables(w.t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || len(tables.TableNames) > 0 {
		w.t.Errorf("tables are left: %v, %v", tables.TableNames, err)
	}
	buckets, err := w.s3.ListBuckets()
	if err != nil || len(buckets) > 0 {
		w.t.Errorf("buckets are left: %v, %v", buckets, err)
	}
}

// ask sends a request to the public URL.
func (w *world) ask(method, path, token, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, public+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(text)
}

// traffic is what clients, an auditor and a shim do.
func (w *world) traffic(fronts map[string]string) {
	w.t.Helper()
	w.refusals(fronts)
	w.signingIn()
	w.call(w.issuer.Token(w.t, "alice", public+"/mcp-connect/notes", []string{"engineering"}, nil)) // the provider's own
	if resp, body := w.ask("GET", "/v0.1/servers", w.issuer.Token(w.t, "alice", public, []string{"engineering"}, nil), ""); resp.StatusCode != 200 || !strings.Contains(body, public+"/mcp-connect/notes") {
		w.t.Errorf("the list: %d %s", resp.StatusCode, body)
	}
	// What is not in the cluster is asked of the deployer, which finds that it may do nothing here.
	alice := w.issuer.Token(w.t, "alice", public+"/mcp-connect/other", []string{"engineering"}, nil)
	if resp, body := w.ask("POST", "/mcp-connect/other", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Content-Type", "application/json",
		"Accept", "application/json, text/event-stream", "MCP-Protocol-Version", "2025-11-25"); resp.StatusCode != 503 {
		w.t.Errorf("a server that is not there: %d %s", resp.StatusCode, body)
	}
	w.records()
	w.sessions()
	w.smoke()
	w.broughtKeys()
}

// broughtKeys: the provider's keys are where gateway and deployer read them.
func (w *world) broughtKeys() {
	w.t.Helper()
	const key = "documents/keys/provider.json"
	for deadline := time.Now().Add(30 * time.Second); ; {
		o, err := w.s3.GetObject(w.documents, key, nil)
		if err == nil {
			defer o.Contents.Close()
			var file identity.KeyFile
			if err := json.NewDecoder(o.Contents).Decode(&file); err != nil || file.Issuer != w.issuer.URL || time.Since(file.Fetched) > time.Minute {
				w.t.Errorf("brought is %+v, %v", file, err)
			}
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no keys are brought: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// call calls a tool, whose answer streams.
func (w *world) call(token string) {
	w.t.Helper()
	before := w.cluster.calls.Load()
	resp, body := w.ask("POST", "/mcp-connect/notes", token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}}`,
		"Content-Type", "application/json", "Accept", "application/json, text/event-stream", "MCP-Protocol-Version", "2025-11-25")
	if resp.StatusCode != 200 || !strings.Contains(body, `"text":"tools/call"`) || strings.Count(body, "notifications/progress") != 3 || w.cluster.calls.Load() != before+1 {
		w.t.Errorf("a call: %d %s", resp.StatusCode, body)
	}
}

// smoke runs the script for an account, whose first two lines are what matters.
func (w *world) smoke() {
	w.t.Helper()
	plain := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) })) // as https-only has it
	defer plain.Close()
	run := func(token string, options ...string) ([]string, error) {
		c := exec.CommandContext(w.t.Context(), "bash", root+"/terraform/smoke.sh", public, "notes")
		c.Env = append(os.Environ(), "TOKEN="+token, `CALL={"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}}`,
			"CURL="+strings.Join(append([]string{"--cacert", w.roots, "--noproxy", "*", "--connect-to", "mcp.example.com:443:" + w.public.Listener.Addr().String(),
				"--connect-to", "mcp.example.com:80:" + plain.Listener.Addr().String()}, options...), " "))
		out, err := c.CombinedOutput()
		return strings.Split(strings.TrimSpace(string(out)), "\n"), err
	}
	got, err := run(w.issuer.Token(w.t, "alice", public+"/mcp-connect/notes", []string{"engineering"}, nil))
	if err != nil || len(got) != 7 || !strings.HasPrefix(got[0], "WWW-Authenticate       ok") || !strings.Contains(got[1], "ok      streams: the first event after") {
		w.t.Errorf("smoke.sh: %v\n%s", err, strings.Join(got, "\n"))
	}
	if got, err := run(""); err != nil || !strings.Contains(got[1], "skipped") {
		w.t.Errorf("smoke.sh without a token: %v\n%s", err, strings.Join(got, "\n"))
	}
	if got, err := run(w.issuer.Token(w.t, "bob", public+"/mcp-connect/notes", []string{"sales"}, nil)); err == nil || !strings.Contains(got[1], "FAILED  no events came") {
		w.t.Errorf("smoke.sh with somebody who is not admitted: %v\n%s", err, strings.Join(got, "\n"))
	}
}

// refusals: who sees what who is not signed in, not admitted, or not CloudFront.
func (w *world) refusals(fronts map[string]string) {
	w.t.Helper()
	resp, _ := w.ask("POST", "/mcp-connect/notes", "", `{}`, "Content-Type", "application/json")
	if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || !strings.Contains(challenge, public+"/.well-known/oauth-protected-resource/mcp-connect/notes") {
		w.t.Errorf("the 401 has %q", challenge)
	}
	if resp.Header.Get("X-Amzn-Remapped-Www-Authenticate") != "" {
		w.t.Error("the renamed header is there, too")
	}
	bob := w.issuer.Token(w.t, "bob", public+"/mcp-connect/notes", []string{"sales"}, nil)
	if resp, body := w.ask("POST", "/mcp-connect/notes", bob, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Content-Type", "application/json"); resp.StatusCode != 403 {
		w.t.Errorf("not admitted: %d %s", resp.StatusCode, body)
	}
	for function, at := range fronts {
		r, err := http.NewRequestWithContext(w.t.Context(), "GET", at+"/healthz", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header = http.Header{"X-Viewer-Host": {"mcp.example.com"}, "X-Origin-Secret": {strings.Repeat("x", 48)}}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			w.t.Errorf("%s answers %d to who is not CloudFront", function, resp.StatusCode)
		}
	}
}

// signingIn: a client finds the authorization server and registers, alice signs in and says yes, and the client calls with its token.
func (w *world) signingIn() {
	w.t.Helper()
	resp, body := w.ask("GET", "/.well-known/oauth-authorization-server", "", "")
	if resp.StatusCode != 200 || !strings.Contains(body, `"issuer":"`+public+`"`) {
		w.t.Errorf("metadata: %d %s", resp.StatusCode, body)
	}
	c := w.register()
	w.call(w.signIn(c))
	if resp, body := w.ask("DELETE", "/register/"+c.ID, c.Token, ""); resp.StatusCode != 204 {
		w.t.Errorf("a client that leaves: %d %s", resp.StatusCode, body)
	}
	if resp, body := w.ask("GET", "/jwks", "", ""); resp.StatusCode != 200 || !strings.Contains(body, `"keys"`) {
		w.t.Errorf("keys: %d %s", resp.StatusCode, body)
	}
}

// records: a shim brings some by the public URL, and an auditor reads them.
func (w *world) records() {
	w.t.Helper()
	token := w.serverToken("audit", "notes")
	s, err := sink.New(sink.Config{URL: w.public.URL + "/audit", Credential: secret.New(token), Timeout: 10 * time.Second, Roots: w.public.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	if err != nil {
		w.t.Fatal(err)
	}
	line, err := json.Marshal(audit.Record{ID: audit.NewID(), CreatedAt: time.Now(), Server: "notes", Issuer: w.issuer.URL, Subject: "alice", CallType: "tools/call",
		CallIdentifier: "search", Outcome: audit.Forwarded})
	if err != nil {
		w.t.Fatal(err)
	}
	for range 2 {
		if err := s.Send(w.t.Context(), "the-same-batch", [][]byte{line}); err != nil {
			w.t.Fatal(err)
		}
	}
	carol := w.issuer.Token(w.t, "carol", public, []string{"security"}, nil)
	if resp, body := w.ask("GET", "/audit?server=notes&user=alice", carol, ""); resp.StatusCode != 200 || strings.Count(body, `"id"`) != 1 {
		w.t.Errorf("records: %d %s", resp.StatusCode, body)
	}
}

// sessions: a shim keeps what a client asked for by the public URL, and the next one reads it; another server's does not.
func (w *world) sessions() {
	w.t.Helper()
	token := w.serverToken("sessions", "notes")
	place := "/sessions/" + strings.Repeat("A", 43)
	until := fmt.Sprint(place, "?expires=", time.Now().Add(time.Hour).Unix())
	const sealed = "\x00\xff sealed" // bytes as they are
	resp, body := w.ask("PUT", until, token, sealed, "If-None-Match", "*", "Content-Type", "application/octet-stream")
	if resp.StatusCode != 204 || resp.Header.Get("Etag") != `"1"` {
		w.t.Fatalf("a record: %d %s, version %s", resp.StatusCode, body, resp.Header.Get("Etag"))
	}
	if resp, body := w.ask("GET", place, token, ""); resp.StatusCode != 200 || body != sealed || resp.Header.Get("Etag") != `"1"` {
		w.t.Errorf("read again: %d %q, version %s", resp.StatusCode, body, resp.Header.Get("Etag"))
	}
	if resp, body := w.ask("PUT", until, token, sealed, "If-Match", `"2"`, "Content-Type", "application/octet-stream"); resp.StatusCode != 412 {
		w.t.Errorf("another version: %d %s", resp.StatusCode, body)
	}
	if resp, body := w.ask("GET", place, w.serverToken("sessions", "other"), ""); resp.StatusCode != 404 || body != "" {
		w.t.Errorf("another server's shim: %d %s", resp.StatusCode, body)
	}
	if resp, body := w.ask("GET", place, w.serverToken("audit", "notes"), ""); resp.StatusCode != 401 {
		w.t.Errorf("the token for records of calls: %d %s", resp.StatusCode, body)
	}
}

// serverToken has a function's program print a server's token, with what it finds in S3.
func (w *world) serverToken(function, server string) string {
	w.t.Helper()
	c := exec.CommandContext(w.t.Context(), filepath.Join(w.programs, function), "token", server)
	c.Env = []string{"PLATFORM=s3://" + w.documents + "/documents/platform.yaml", "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=operator", "AWS_SECRET_ACCESS_KEY=operator",
		"AWS_ENDPOINT_URL_S3=" + w.endpoint(function, "S3"), "TMPDIR=" + w.t.TempDir()}
	out, err := c.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// elsewhere are actions that nothing here calls for, and which test records them: the modules' platform file has no server at
// which people have accounts.
var elsewhere = map[string]string{
	"oauth kms:Decrypt":         "TestAccountsByKMS of functions/oauth",
	"oauth kms:GenerateDataKey": "TestAccountsByKMS of functions/oauth",
}

// checkActions holds what functions recorded to what tests/actions.json says that they do, no fewer and no more, which is what
// their roles may; and to what services were asked for, since what goes another way than the recorder's is in no file.
func (w *world) checkActions() {
	w.t.Helper()
	for _, d := range w.denied {
		w.t.Errorf("denied: %s", d)
	}
	for function, actions := range awsenvtest.Actions(w.t) {
		recorded := awsenvtest.Recorded(w.t, w.recording(function))
		actions = slices.DeleteFunc(actions, func(a string) bool { return elsewhere[function+" "+a] != "" })
		if diff := cmp.Diff(actions, recorded); diff != "" {
			w.t.Errorf("%s: what tests/actions.json says (-) and what was recorded (+):\n%s", function, diff)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(w.called[function])), recorded); diff != "" {
			w.t.Errorf("%s: what services were asked for (-) and what was recorded (+):\n%s", function, diff)
		}
		w.t.Logf("%s did %v", function, recorded)
	}
}

// recording is the file where a function records what it asks of AWS.
func (w *world) recording(function string) string { return filepath.Join(w.recordings, function) }

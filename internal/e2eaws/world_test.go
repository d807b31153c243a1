package e2eaws

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"mcpgateway/internal/awsenv"
	"mcpgateway/internal/identity/identitytest"
	"mcpgateway/internal/store/dynamo/dynamotest"
	"mcpgateway/internal/terraformtest"
	"mcpgateway/localstack/lambda"
)

// world is AWS, the cluster and the identity provider, as far as they are here.
type world struct {
	t          *testing.T
	dynamodb   *dynamodb.Client
	services   map[string]http.Handler // by what AWS_ENDPOINT_URL_ goes before
	s3         *s3mem.Backend
	cluster    *cluster
	provider   *provider
	issuer     *identitytest.Issuer // the provider's keys
	programs   string               // folder of the functions' programs
	documents  string               // the bucket
	recordings string               // folder of what functions ask of AWS
	roots      string               // file of the authority of everything here that speaks TLS
	public     *httptest.Server     // CloudFront

	mu     sync.Mutex
	may    map[string][]permission // by function
	called map[string]map[string]bool
	denied []string
}

// permission is what a role may do.
type permission struct {
	Actions   []string
	Resources []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	local := dynamotest.Service(t)
	at, err := url.Parse(*local.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dynamodb: dynamodb.NewFromConfig(local), s3: s3mem.New(), cluster: startCluster(t), recordings: t.TempDir(), called: map[string]map[string]bool{}, may: map[string][]permission{}}
	w.services = map[string]http.Handler{"SECRETS_MANAGER": http.HandlerFunc(w.describe), "DYNAMODB": httputil.NewSingleHostReverseProxy(at), "S3": gofakes3.New(w.s3, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()}
	t.Cleanup(w.dropTables)
	w.provider = w.startProvider()
	w.issuer = w.provider.issuer
	w.roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(w.roots, []byte(w.cluster.authority), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// dropTables removes what a test that failed left.
func (w *world) dropTables() {
	tables, err := w.dynamodb.ListTables(context.Background(), &dynamodb.ListTablesInput{})
	if err != nil {
		return
	}
	for _, name := range tables.TableNames {
		_, _ = w.dynamodb.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
	}
}

// readPolicies reads what roles may do.
func (w *world) readPolicies(made []terraformtest.Resource) {
	for _, r := range made {
		function, is := r.Index.(string)
		if r.Type != "aws_iam_role_policy" || r.Name != "function" || !is {
			continue
		}
		var p struct {
			Statement []struct{ Action, Resource []string }
		}
		if err := json.Unmarshal([]byte(fmt.Sprint(r.Values["policy"])), &p); err != nil {
			w.t.Fatalf("%s: %v", r.Address, err)
		}
		for _, s := range p.Statement {
			w.may[function] = append(w.may[function], permission{s.Action, s.Resource})
		}
	}
}

// endpoint is a service as one function's role reaches it: what the role may not do is refused, and all it does is recorded.
func (w *world) endpoint(function, service string) string {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		action, resource := name(service, r)
		if !w.allows(function, action, resource) {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		w.services[service].ServeHTTP(rw, r)
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// name says what a request does to what, in IAM's words (Service Authorization Reference).
func name(service string, r *http.Request) (action, resource string) {
	if service == "S3" {
		verb := map[string]string{http.MethodGet: "s3:GetObject", http.MethodPut: "s3:PutObject"}[r.Method]
		return verb, "arn:aws:s3:::" + strings.TrimPrefix(r.URL.Path, "/")
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	var asked struct{ TableName, IndexName, SecretID string }
	_ = json.Unmarshal(body, &asked)
	if service == "SECRETS_MANAGER" { // it adds six characters of its own to names
		return "secretsmanager:" + operation, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + asked.SecretID + "-AbCdEf"
	}
	resource = "arn:aws:dynamodb:eu-central-1:123456789012:table/" + asked.TableName
	if asked.IndexName != "" {
		resource += "/index/" + asked.IndexName
	}
	return "dynamodb:" + operation, resource
}

// describe is Secrets Manager, where each secret has one version. Who reads it is in the cluster, and not here.
func (w *world) describe(rw http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/secretsmanager/aws4_request") || r.Header.Get("X-Amz-Target") != "secretsmanager.DescribeSecret" {
		w.t.Errorf("Secrets Manager was asked for %q by %q", r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization"))
	}
	rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(rw, `{"VersionIdsToStages": {"01234567-89ab-cdef-0123-456789abcdef": ["AWSCURRENT"]}}`)
}

func (w *world) allows(function, action, resource string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.may[function] {
		if slices.Contains(p.Actions, action) && slices.ContainsFunc(p.Resources, func(r string) bool { return matches(r, resource) }) {
			if w.called[function] == nil {
				w.called[function] = map[string]bool{}
			}
			w.called[function][action] = true
			return true
		}
	}
	w.denied = append(w.denied, function+" "+action+" "+resource)
	return false
}

// matches is a resource of a policy, in which a star may stand for slashes too.
func matches(form, resource string) bool {
	head, tail, star := strings.Cut(form, "*")
	return form == resource || star && strings.HasPrefix(resource, head) && strings.HasSuffix(resource, tail) && len(resource) >= len(head)+len(tail)
}

// configured is aws_lambda_function.
type configured struct {
	Name        string `json:"function_name"`
	Memory      int    `json:"memory_size"`
	Timeout     int    `json:"timeout"`
	Environment []struct{ Variables map[string]string }
}

// function is one as Terraform configured it, with where services are here.
func (w *world) function(made []terraformtest.Resource, name string, others map[string]string) lambda.Function {
	w.t.Helper()
	var f configured
	for _, r := range made {
		if r.Type == "aws_lambda_function" && r.Index == name {
			f = as[configured](w.t, r)
		}
	}
	env := map[string]string{}
	for _, e := range f.Environment {
		maps.Copy(env, e.Variables)
	}
	delete(env, "AWS_ENDPOINT_URL_LAMBDA") // the front's own
	maps.Copy(env, map[string]string{"SSL_CERT_FILE": w.roots, awsenv.Recording: w.recording(name),
		"AWS_ENDPOINT_URL_S3": w.endpoint(name, "S3"), "AWS_ENDPOINT_URL_DYNAMODB": w.endpoint(name, "DYNAMODB"),
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": w.endpoint(name, "SECRETS_MANAGER")})
	maps.Copy(env, others)
	return lambda.Function{Name: f.Name, Program: filepath.Join(w.programs, name), Memory: f.Memory, Timeout: time.Duration(f.Timeout) * time.Second, Env: env, Log: lines(name)}
}

// start runs a function behind a front, and beside the gateway the deployer, which it may invoke if its role may, and what brings
// keys, by the schedule of tests.
func (w *world) start(made []terraformtest.Resource, name string, kind lambda.EventKind, others map[string]string) *lambda.Front {
	w.t.Helper()
	c := lambda.Config{Events: kind, RemapAuthenticate: true, BinaryMediaTypes: true, Function: w.function(made, name, others)}
	if name == "gateway" {
		d := w.function(made, "deployer", others)
		k := w.function(made, "keys", others)
		k.Schedule = lambda.Schedule{Every: time.Second, Payload: []byte(`{"detail-type":"Scheduled Event"}`)}
		c.Invocable = []lambda.Function{d, k}
		if w.allows(name, "lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:123456789012:function:"+d.Name) {
			c.Function.MayInvoke = []string{d.Name}
		}
	}
	front, err := lambda.Start(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(front.Close)
	return front
}

// lines are a function's log.
type lines string

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	if testing.Verbose() {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %s", string(l), p)
	}
	return len(p), nil
}

package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/condition/compile"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/documents"
	"mcpgateway/internal/rules"
)

const testCatalog = `apiVersion: v1
servers:
  - {id: one, runtime: {command: {exec: /bin/cat, http: {path: /mcp}}}, env: [{name: LEVEL, value: info}]}
  - {id: two, runtime: {command: {exec: /bin/cat, http: {path: /mcp}}}}
policies:
  - {name: all, allow: {anyone: true}, servers: [one]}
`

// desk is a deployer with files of its own, an issuer, and a runner that runs nothing.
type desk struct {
	t *testing.T
	*deployer
	*documents.Keeper
	runner *fakeRunner
	dir    string
	issuer *httptest.Server
	log    strings.Builder
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, dir: t.TempDir(), issuer: newIssuer(t)}
	d.write("platform.yaml", fmt.Sprintf("apiVersion: v1\npublicURL: http://127.0.0.1:8080\nissuers: [{url: %q, audiences: [\"{resource}\"], default: true}]\n", d.issuer.URL))
	d.write("catalog.yaml", testCatalog)
	d.deployer, d.runner = newDeployer(&d.log)
	d.load()
	return d
}

// newIssuer is an issuer that publishes one key.
func newIssuer(t *testing.T) *httptest.Server {
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
			return
		}
		fmt.Fprint(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// load reads the files as a deployer that starts does.
func (d *desk) load() {
	d.t.Helper()
	var err error
	if d.Keeper, err = documents.Open(documents.Config{Platform: filepath.Join(d.dir, "platform.yaml"), Conditions: compile.Check, Logger: d.deployer.log}); err != nil {
		d.t.Fatal(err)
	}
	d.Accept = d.accept
	d.latecomers = newLatecomers(d.Look)
	d.files.Store(d.Current())
}

// inForce are the rules of a server.
func (d *desk) inForce(server string) rules.Rules {
	d.t.Helper()
	r, err := rules.Open(d.public(), d.runner.rules[server])
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// reconciled reconciles, and returns what the runner was asked and whether all keys are known.
func (d *desk) reconciled() ([]string, bool) {
	d.runner.asked = nil
	known := d.reconcile(context.Background(), 2*time.Second)
	return d.runner.asked, known
}

func (d *desk) expect(want ...string) {
	d.t.Helper()
	got, _ := d.reconciled()
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Errorf("the runner was asked (-want +got):\n%s\n%s", diff, &d.log)
	}
}

// taken reads the files again, and compares what the runner was asked by that.
func (d *desk) taken(want ...string) {
	d.t.Helper()
	d.runner.asked = nil
	d.Look()
	if diff := cmp.Diff(want, d.runner.asked); diff != "" {
		d.t.Errorf("the runner was asked (-want +got):\n%s\n%s", diff, &d.log)
	}
}

func TestRulesAreWrittenWhenTheyChange(t *testing.T) {
	d := newDesk(t)
	began := time.Now().UnixMilli()
	d.expect("rules one", "rules two")
	d.expect()
	one, two := d.inForce("one"), d.inForce("two")
	if one.Server != "one" || len(one.Policies) != 1 || len(two.Policies) != 0 || one.Version < began {
		t.Errorf("in force are %+v and %+v", one, two)
	}
	if len(one.Issuers) != 1 || !json.Valid(one.Issuers[0].Keys) || !strings.Contains(string(one.Issuers[0].Keys), "11qYAYKx") {
		t.Errorf("the issuers are %+v", one.Issuers)
	}
	d.write("catalog.yaml", strings.Replace(testCatalog, "anyone: true", "groups: [engineers]", 1))
	d.expect()
	d.taken("rules one") // before anybody can ask by the new files
	d.expect()
	if now := d.inForce("one"); now.Version <= one.Version || now.Policies[0].Allow.Anyone {
		t.Errorf("in force is %+v after %+v", now, one)
	}
}

// TestVersionsGrowWhenTheClockGoesBack has rules in force from the future.
func TestVersionsGrowWhenTheClockGoesBack(t *testing.T) {
	d := newDesk(t)
	future := time.Now().Add(time.Hour).UnixMilli()
	signed, err := rules.Sign(d.key, rules.Rules{Server: "one", Version: future})
	if err != nil {
		t.Fatal(err)
	}
	d.runner.rules["one"] = signed
	d.expect("rules one", "rules two")
	if got := d.inForce("one"); got.Version != future+1 {
		t.Errorf("version %d after %d", got.Version, future)
	}
	d.expect()
}

func TestRulesOfOthersAreReplaced(t *testing.T) {
	d := newDesk(t)
	signed, err := rules.Sign(ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32))), rules.Rules{Server: "one", Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	d.runner.rules["one"] = signed
	d.expect("rules one", "rules two")
	d.inForce("one")
}

func TestKeysOutliveTheirIssuer(t *testing.T) {
	d := newDesk(t)
	if _, known := d.reconciled(); !known {
		t.Fatalf("keys are missing:\n%s", &d.log)
	}
	before := d.inForce("one")
	d.issuer.Close()
	d.load() // another deployer, which knows no keys
	asked, known := d.reconciled()
	if known || len(asked) > 0 {
		t.Errorf("without the issuer, asked %v, known %v", asked, known)
	}
	d.write("catalog.yaml", strings.Replace(testCatalog, "anyone: true", "groups: [engineers]", 1))
	d.taken("rules one")
	if now := d.inForce("one"); string(now.Issuers[0].Keys) != string(before.Issuers[0].Keys) {
		t.Errorf("the keys are %s after %s", now.Issuers[0].Keys, before.Issuers[0].Keys)
	}
}

func TestInstancesAreComparedWithTheCatalog(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	one, err := d.plan(deploy.Key{Server: "one"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := d.plan(deploy.Key{Server: "two"})
	if err != nil {
		t.Fatal(err)
	}
	if d.runner.deployed[one.Key().ID()] != one.Hash || d.runner.deployed[two.Key().ID()] != two.Hash {
		t.Error("what nobody asked for yet is not in force")
	}
	owned := deploy.Key{Server: "two", Owner: &deploy.Owner{Issuer: "i", Subject: "s"}}
	d.runner.up = []deploy.Status{{Key: one.Key(), Hash: one.Hash}, {Key: two.Key(), Hash: two.Hash}}
	d.expect()
	d.runner.up = append(d.runner.up, deploy.Status{Key: owned, Hash: two.Hash})
	d.expect("remove two")
	d.runner.up = d.runner.up[:2]
	d.write("catalog.yaml", strings.Replace(testCatalog, "value: info", "value: debug", 1))
	d.Look()
	changed, err := d.plan(deploy.Key{Server: "one"})
	if err != nil {
		t.Fatal(err)
	}
	d.expect()
	if d.runner.deployed[one.Key().ID()] != changed.Hash {
		t.Error("the changed plan is not in force")
	}
	if d.runner.deployed[owned.ID()] != "" {
		t.Error("what the catalog does not have was put in force")
	}
	d.write("catalog.yaml", strings.Replace(testCatalog, "id: two", "id: three", 1))
	d.taken("rules three")
	d.expect("remove two")
}

// Users' instances go when nobody used them for as long as their entry says, and no others do.
func TestUnusedInstancesAreRemoved(t *testing.T) {
	var log strings.Builder
	d, runner := newDeployer(&log)
	own, kept := entry("own"), entry("kept")
	own.Instances = catalog.Instances{PerUser: true, Max: 9, IdleDelete: catalog.Duration(48 * time.Hour)}
	kept.Instances = catalog.Instances{PerUser: true, Max: 9}
	c := &catalog.Catalog{Servers: []catalog.Server{own, kept, entry("shared")}}
	d.files.Store(&documents.Version{Platform: &catalog.Platform{}, Catalog: c})
	status := func(server, subject string, hours time.Duration) deploy.Status {
		s := deploy.Status{Key: deploy.Key{Server: server}}
		if subject != "" {
			s.Key.Owner = &deploy.Owner{Issuer: "i", Subject: subject}
		}
		if hours > 0 {
			s.AsleepSince = time.Now().Add(-hours * time.Hour)
		}
		return s
	}
	runner.up = []deploy.Status{status("own", "away", 49), status("own", "asleep", 47), status("own", "awake", 0),
		status("kept", "away", 9000), status("shared", "", 9000)}
	if err := d.deployAll(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"remove asleep own away 49h0m0s"}, runner.asked); diff != "" {
		t.Error(diff)
	}
	for _, s := range runner.up[1:] {
		if runner.deployed[s.Key.ID()] == "" {
			t.Errorf("%+v is not compared with the catalog", s.Key)
		}
	}
	if runner.deployed[runner.up[0].Key.ID()] != "" {
		t.Error("what is removed is deployed")
	}
}

func TestPackagesArePreparedAsTheCatalogSays(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	if d.runner.needs != nil {
		t.Errorf("commands need %v", d.runner.needs)
	}
	more := `  - {id: three, runtime: {npx: {package: "@a/b@1.2.3"}}, instances: {per: user, max: 5}}
  - {id: four, runtime: {uvx: {package: "c==1.2"}}}
policies:`
	d.write("catalog.yaml", strings.Replace(testCatalog, "policies:", more, 1))
	d.Look()
	d.reconciled()
	want := []deploy.Need{
		{Server: "three", Package: deploy.Package{Registry: "npm", Name: "@a/b@1.2.3"}},
		{Server: "four", Package: deploy.Package{Registry: "pypi", Name: "c==1.2"}},
	}
	if diff := cmp.Diff(want, d.runner.needs); diff != "" {
		t.Errorf("prepared is something else:\n%s\n%s", diff, &d.log)
	}
}

// Servers reach what the files say before anybody can ask by those, and what is gone keeps nothing.
func TestEgressFollowsTheFiles(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	if diff := cmp.Diff(map[string]string{"one": "public", "two": "public"}, d.runner.egress); diff != "" { // which is none
		t.Error(diff)
	}
	d.write("catalog.yaml", strings.Replace(testCatalog, "policies:", `  - {id: three, runtime: {remote: {url: "https://x.test/mcp"}}, filters: [f]}
filters:
  - {name: f, webhook: {url: "https://10.1.2.3/", egress: [{cidr: 10.1.0.0/16, ports: [443]}]}, on: ["*"]}
policies:`, 1))
	d.Look()
	if got, want := d.runner.egress["three"], "0.0.0.0/0 443, ::/0 443, 10.1.0.0/16 443"; got != want {
		t.Errorf("opened to %q, want %q\n%s", got, want, &d.log)
	}
	if diff := cmp.Diff([]string{"one", "two"}, d.runner.retained); diff != "" {
		t.Error(diff)
	}
	d.reconciled()
	if diff := cmp.Diff([]string{"one", "two", "three"}, d.runner.retained); diff != "" {
		t.Error(diff)
	}
	// Newer files came in force while these were compared: their servers have rules already.
	older := *d.files.Load()
	older.Catalog = &catalog.Catalog{}
	if err := d.forget(t.Context(), &older); err != nil || len(d.runner.retained) != 3 {
		t.Errorf("%v, retained %v", err, d.runner.retained)
	}
}

func TestMistakesChangeNothing(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	plan, err := d.plan(deploy.Key{Server: "one"})
	if err != nil {
		t.Fatal(err)
	}
	d.runner.up = []deploy.Status{{Key: plan.Key(), Hash: plan.Hash}}
	for _, text := range []string{"", "servers: [", strings.Replace(testCatalog, "env:", "enw:", 1)} {
		d.write("catalog.yaml", text)
		d.Look()
		d.expect()
	}
	if err := os.Remove(filepath.Join(d.dir, "platform.yaml")); err != nil {
		t.Fatal(err)
	}
	d.Look()
	d.expect()
	if n := strings.Count(d.log.String(), "stays in force"); n != 4 {
		t.Errorf("%d of 4 mistakes are logged:\n%s", n, &d.log)
	}
}

func TestReloadOfThePlatform(t *testing.T) {
	d := newDesk(t)
	verifier := d.files.Load().Verifier
	d.Look()
	if d.files.Load().Verifier != verifier {
		t.Error("the issuers' keys are forgotten though nothing changed")
	}
	text, err := os.ReadFile(filepath.Join(d.dir, "platform.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d.write("platform.yaml", string(text)+"deployer: {state: elsewhere}\n")
	d.Look()
	if !strings.Contains(d.log.String(), "needs a restart") {
		t.Errorf("no word on the deployer section:\n%s", &d.log)
	}
	other := newIssuer(t)
	d.write("platform.yaml", strings.Replace(string(text), d.issuer.URL, other.URL, 1))
	d.Look()
	d.reconciled()
	if got := d.inForce("one"); got.Issuers[0].URL != other.URL || got.Issuers[0].Keys == nil {
		t.Errorf("the issuers are %+v", got.Issuers)
	}
}

// A reconciliation by older files that waits for an issuer must not undo what newer ones say.
func TestOlderFilesNeverReplaceNewer(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	answer, asked := make(chan struct{}), make(chan struct{}, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- struct{}{}; <-answer }))
	defer other.Close()
	good, err := os.ReadFile(filepath.Join(d.dir, "platform.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d.write("platform.yaml", strings.Replace(string(good), d.issuer.URL, other.URL, 1))
	d.Look() // an issuer that hangs does not keep a change from being in force
	<-asked
	reconciled := make(chan bool)
	go func() { reconciled <- d.reconcile(context.Background(), 30*time.Second) }()
	time.Sleep(50 * time.Millisecond) // it waits for the issuer
	d.write("platform.yaml", string(good))
	d.Look()
	close(answer)
	if <-reconciled {
		t.Error("the reconciliation did not wait for the issuer: this test proves nothing")
	}
	if got := d.inForce("one").Issuers[0].URL; got != d.issuer.URL {
		t.Errorf("in force is %s again", got)
	}
}

// What the gateway offers already, since it looked a moment before, is read and not refused.
func TestNewNamesAreLookedFor(t *testing.T) {
	d := newDesk(t)
	d.reconciled()
	ensure := func(server string) int {
		w := httptest.NewRecorder()
		d.handler().ServeHTTP(w, httptest.NewRequest("POST", "/ensure", strings.NewReader(`{"server":"`+server+`"}`)))
		return w.Code
	}
	for _, id := range []string{"three", "four"} { // the second within the pause
		d.write("catalog.yaml", strings.Replace(testCatalog, "id: two", "id: "+id, 1))
		d.runner.asked = nil
		if code := ensure(id); code != http.StatusOK {
			t.Errorf("%s: %d", id, code)
		}
		if diff := cmp.Diff([]string{"rules " + id, "ensure " + id}, d.runner.asked); diff != "" {
			t.Error(diff)
		}
	}
	if code := ensure("two"); code != http.StatusNotFound {
		t.Errorf("what is gone: %d", code)
	}
}

// However many ask for what there is not, the files are read a few times.
func TestLooksAreBounded(t *testing.T) {
	var looks atomic.Int32
	l := newLatecomers(func() { looks.Add(1) })
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if !l.lookAgain(context.Background(), time.Now()) {
				t.Error("did not look")
			}
		})
	}
	all.Wait()
	if n := looks.Load(); n < 1 || n > 20 { // one look answers all who asked before it
		t.Errorf("%d looks for 200 questions", n)
	}
	gone, leave := context.WithCancel(context.Background())
	leave()
	l.last = time.Now().Add(time.Hour)
	if l.lookAgain(gone, l.last.Add(time.Hour)) {
		t.Error("waits for who has gone")
	}
}

// What starts while the files change is started again as they are now, and whoever waits learns nothing of it.
func TestFilesThatChangeDuringAStart(t *testing.T) {
	for name, c := range map[string]struct {
		id, value string // of the server in the next version
		err       error  // what becomes of the first start
		status    int
		starts    int
	}{
		"retired meanwhile":   {"one", "debug", &deploy.StartError{Code: deploy.CodeUnavailable, Message: "stopped"}, http.StatusOK, 2},
		"about to retire":     {"one", "debug", nil, http.StatusOK, 2},
		"failed by itself":    {"one", "info", &deploy.StartError{Code: deploy.CodeUnavailable, Message: "stopped"}, http.StatusServiceUnavailable, 1},
		"removed meanwhile":   {"gone", "info", nil, http.StatusNotFound, 1},
		"nothing of all that": {"one", "info", nil, http.StatusOK, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.reconciled()
			starts := 0
			d.runner.meant = func() error {
				if starts++; starts > 1 {
					return nil
				}
				next := strings.Replace(testCatalog, "id: one", "id: "+c.id, 1)
				d.write("catalog.yaml", strings.Replace(strings.Replace(next, "value: info", "value: "+c.value, 1), "[one]", "["+c.id+"]", 1))
				d.Look()
				return c.err
			}
			w := httptest.NewRecorder()
			d.handler().ServeHTTP(w, httptest.NewRequest("POST", "/ensure", strings.NewReader(`{"server":"one"}`)))
			if w.Code != c.status || starts != c.starts {
				t.Errorf("%d after %d starts, want %d after %d", w.Code, starts, c.status, c.starts)
			}
		})
	}
}

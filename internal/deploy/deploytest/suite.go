// Package deploytest is the suite that every deployer must pass, and the small programs that it runs: an MCP server
// that does what it is told, and a stand-in for the shim. It is for tests only.
//
// The suite knows deployers by their interface. What it cannot see through that, a deployer's own tests must look at:
// which processes, containers or files are left.
package deploytest

import (
	"context"
	"slices"
	"testing"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

// Deployer is what every deployer can do.
type Deployer interface {
	// Ensure returns the instance of a plan, which it starts if need be. An instance of another hash takes no more calls
	// and ends when it has finished those it has. Errors are *deploy.StartError, or ctx's.
	Ensure(ctx context.Context, p deploy.Plan) (deploy.Instance, error)
	// Find returns the instance of a key if one takes calls. It never starts anything.
	Find(ctx context.Context, key deploy.Key) (deploy.Instance, bool, error)
	// List returns what runs, instances that start or finish included.
	List(ctx context.Context) ([]deploy.Status, error)
	// Deploy puts a plan in force where that is possible without starting anything: instances of its key that have another
	// hash take no more calls and finish. It does not wait.
	Deploy(ctx context.Context, p deploy.Plan) error
	// Remove ends the instances of a key, and returns when nothing is left of them.
	Remove(ctx context.Context, key deploy.Key) error
	// SetRules puts signed rules in force for a server, without a restart.
	SetRules(ctx context.Context, server string, signed []byte) error
}

// Bench is a deployer under test and what belongs to its kind.
type Bench struct {
	Deployer Deployer
	// Again closes the deployer, as a restart would, and returns another on the same state.
	Again func() Deployer
	// Runtime is how the program of this package that Program names runs, with arguments.
	Runtime func(args ...string) catalog.Runtime
	// PutSecret sets a value in a store.
	PutSecret func(store, key, value string)
	// Kill ends a unit of an instance as a crash would.
	Kill func(instance deploy.Instance, unit string)
	// Environ is the environment of a unit's process, nil where it cannot be seen.
	Environ func(instance deploy.Instance, unit string) []string
	// Log is what the operator can read by now.
	Log func() string
	// Idle is the shortest idle time that the deployer can do.
	Idle time.Duration
	// Lasting says that an instance is what was deployed and not what runs of it: it is there while it sleeps, under the
	// same ID when it wakes, and a unit that crashes comes back within it.
	Lasting bool
	// Patience is how long what happens by itself may take, new rules included; 30 seconds where it is 0.
	Patience time.Duration
}

// Run runs the suite. Open makes a deployer with nothing in it, and cleans up after the test.
func Run(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*bench){
		"cold then warm":               coldThenWarm,
		"one flight":                   oneFlight,
		"callers may leave":            callersMayLeave,
		"find never starts":            findNeverStarts,
		"sleeps when idle":             sleepsWhenIdle,
		"no sleep during a call":       noSleepDuringCall,
		"a crash ends the group":       crashEndsGroup,
		"crash loop":                   crashLoop,
		"startup timeout":              startupTimeout,
		"missing secret":               missingSecret,
		"a new hash replaces":          newHashReplaces,
		"a new plan lets calls finish": newPlanLetsFinish,
		"a new deployer adopts":        newDeployerAdopts,
		"remove leaves nothing":        removeLeavesNothing,
		"secrets stay with their unit": secretsStay,
		"rules change without restart": rulesChange,
		"an instance for each user":    instanceForEachUser,
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{Bench: open(t), T: t, Rig: NewRig()}
			var cancel context.CancelFunc
			b.ctx, cancel = context.WithTimeout(context.Background(), 2*time.Minute+b.Patience)
			defer cancel()
			test(b)
		})
	}
}

// bench is a Bench for one test.
type bench struct {
	Bench
	*testing.T
	*Rig
	ctx context.Context
}

// long is an idle time that no test reaches.
const long = time.Hour

// entry is a server that runs the test server with arguments.
func (b *bench) entry(id string, args ...string) catalog.Server {
	return catalog.Server{
		ID: id, Runtime: b.Runtime(args...),
		Scale:   catalog.Scale{Idle: catalog.Duration(long), Max: 1},
		Startup: catalog.Startup{Timeout: catalog.Duration(30 * time.Second)},
	}
}

// plan makes the plan of an entry, and puts rules in force that allow everything.
func (b *bench) plan(s catalog.Server, owner *deploy.Owner) deploy.Plan {
	b.Helper()
	p, err := deploy.MakePlan(s, nil, deploy.Options{RulesKey: b.RulesKey(), Owner: owner})
	if err != nil {
		b.Fatal(err)
	}
	b.setRules(s.ID, b.Allow(s.ID, 1))
	return p
}

func (b *bench) ensure(p deploy.Plan) deploy.Instance {
	b.Helper()
	instance, err := b.Deployer.Ensure(b.ctx, p)
	if err != nil {
		b.Fatalf("ensure %s: %v (%+v)\n%s", p.Server, err, deploy.AsStartError(err), b.Log())
	}
	return instance
}

// refused is the error of an Ensure that must fail.
func (b *bench) refused(p deploy.Plan) *deploy.StartError {
	b.Helper()
	instance, err := b.Deployer.Ensure(b.ctx, p)
	if err == nil {
		b.Fatalf("started %+v", instance)
	}
	return deploy.AsStartError(err)
}

func (b *bench) found(key deploy.Key) (deploy.Instance, bool) {
	b.Helper()
	instance, ok, err := b.Deployer.Find(b.ctx, key)
	if err != nil {
		b.Fatal(err)
	}
	return instance, ok
}

func (b *bench) list() []deploy.Status {
	b.Helper()
	list, err := b.Deployer.List(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

// eventually waits until cond holds.
func (b *bench) eventually(what string, cond func() bool) {
	b.Helper()
	for deadline := time.Now().Add(max(30*time.Second, b.Patience)); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never: %s\n%s", what, b.Log())
		}
	}
}

// retry ensures a plan until that works, where a cluster keeps for a while that it did not. A process is to work at once.
func (b *bench) retry(p deploy.Plan, what string) (made deploy.Instance) {
	b.Helper()
	if !b.Lasting {
		return b.ensure(p)
	}
	b.eventually(what, func() bool {
		var err error
		made, err = b.Deployer.Ensure(b.ctx, p)
		return err == nil
	})
	return made
}

// nothingLeft waits until no instance is.
func (b *bench) nothingLeft() {
	b.Helper()
	b.eventually("nothing runs", func() bool { return len(b.running()) == 0 })
}

// running is what runs: of instances that last, those that are awake.
func (b *bench) running() []deploy.Status {
	b.Helper()
	return slices.DeleteFunc(b.list(), func(s deploy.Status) bool { return b.Lasting && !s.Ready })
}

// anew tells whether after was started for this, and is not what was there before.
func (b *bench) anew(after, before deploy.Instance) bool {
	return after.Cold && (b.Lasting || after.ID != before.ID)
}

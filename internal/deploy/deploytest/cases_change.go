package deploytest

import (
	"slices"
	"strings"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
)

func newHashReplaces(b *bench) {
	s := b.entry("a")
	p := b.plan(s, nil)
	before := b.ensure(p)
	call := b.sleep(before, p.Key(), 1500*time.Millisecond)
	time.Sleep(300 * time.Millisecond) // until the call is under way
	s.Env = []catalog.EnvVar{{Name: "REVISION", Value: "2"}}
	p = b.plan(s, nil)
	after := b.ensure(p)
	if after.ID == before.ID || !after.Cold && !b.Lasting { // what lasts follows warm
		b.Errorf("%+v after %+v", after, before)
	}
	if b.Lasting { // calls find their way a moment later
		b.eventually("calls reach it", func() bool { return slices.Contains(b.describe(after, p.Key()).Environment, "REVISION=2") })
	}
	if d := b.describe(after, p.Key()); !slices.Contains(d.Environment, "REVISION=2") {
		b.Errorf("the server has %v", d.Environment)
	}
	if found, ok := b.found(p.Key()); !ok || found.ID != after.ID {
		b.Errorf("found %+v, want %s", found, after.ID)
	}
	if err := <-call; err != nil {
		b.Errorf("the old instance cut a call: %v", err)
	}
	b.eventually("the old instance is gone", func() bool {
		list := b.running()
		return len(list) == 1 && list[0].ID == after.ID
	})
}

func newPlanLetsFinish(b *bench) {
	p := b.plan(b.entry("a"), nil)
	instance := b.ensure(p)
	if err := b.Deployer.Deploy(b.ctx, p); err != nil {
		b.Fatal(err)
	}
	if found, ok := b.found(p.Key()); !ok || found.ID != instance.ID {
		b.Fatalf("its own hash did not keep it: found %+v", found)
	}
	another := p
	another.Hash = "another"
	call := b.sleep(instance, p.Key(), time.Second)
	time.Sleep(300 * time.Millisecond)
	if err := b.Deployer.Deploy(b.ctx, another); err != nil {
		b.Fatal(err)
	}
	replaced := func() bool {
		found, ok := b.found(p.Key())
		return !ok || b.Lasting && found.ID != instance.ID
	}
	if b.Lasting {
		b.eventually("the other plan is in force", replaced)
	}
	if !replaced() {
		b.Error("it takes calls")
	}
	if err := <-call; err != nil {
		b.Errorf("a call was cut: %v", err)
	}
	b.eventually("it is gone", func() bool {
		return !slices.ContainsFunc(b.running(), func(s deploy.Status) bool { return !b.Lasting || s.ID == instance.ID })
	})
}

func newDeployerAdopts(b *bench) {
	p := b.plan(b.entry("a"), nil)
	before := b.ensure(p)
	run := b.describe(before, p.Key()).Run
	b.Deployer = b.Again()
	if found, ok := b.found(p.Key()); !ok || found.ID != before.ID {
		b.Errorf("found %+v, want %s", found, before.ID)
	}
	if after := b.ensure(p); after.ID != before.ID || after.Cold {
		b.Errorf("%+v after %+v", after, before)
	}
	if d := b.describe(before, p.Key()); d.Run != run {
		b.Error("the server was started again")
	}
	b.Kill(before, "server")
	if b.Lasting {
		b.comesBack(before, p.Key(), "server", run)
		return
	}
	b.eventually("a crash after adoption is noticed", func() bool { return len(b.list()) == 0 })
	if after := b.ensure(p); after.ID == before.ID || !after.Cold {
		b.Errorf("%+v after the crash of %+v", after, before)
	}
}

func removeLeavesNothing(b *bench) {
	p, other := b.plan(b.entry("a"), nil), b.plan(b.entry("b", "-stubborn"), nil)
	first, second := b.ensure(p), b.ensure(other)
	if err := b.Deployer.Remove(b.ctx, p.Key()); err != nil {
		b.Fatal(err)
	}
	answers := func() bool {
		status, err := b.call(first, p.Key(), ToolDescribe, nil, nil)
		return err == nil && (!b.Lasting || status == 200) // of what others answer in its place there is no end
	}
	if b.Lasting {
		b.eventually("nobody is led to it", func() bool { return !answers() })
	}
	if answers() {
		b.Error("what was removed answers")
	}
	if list := b.list(); len(list) != 1 || list[0].ID != second.ID {
		b.Errorf("left is %+v, want %s", list, second.ID)
	}
	b.describe(second, other.Key())
	if err := b.Deployer.Remove(b.ctx, other.Key()); err != nil {
		b.Fatal(err)
	}
	if list := b.list(); len(list) != 0 {
		b.Errorf("left is %+v", list)
	}
	if err := b.Deployer.Remove(b.ctx, p.Key()); err != nil {
		b.Errorf("removing nothing: %v", err)
	}
	if again := b.retry(p, "its place is free"); !again.Cold { // its pods may have to end first
		b.Errorf("%+v after its removal", again)
	}
}

// secretsStay uses values that appear nowhere else, and looks at everything that a unit was given.
func secretsStay(b *bench) {
	const serverValue, shimValue = "sesame-of-the-server", "sesame-of-the-shim-in-32-bytes!!"
	b.PutSecret("mcp-a-server", "token", serverValue)
	b.PutSecret("mcp-a-shim", "seal", shimValue)
	s := b.entry("a")
	s.Env = []catalog.EnvVar{{Name: "TOKEN", Secret: &catalog.SecretKey{Key: "token"}}, {Name: "LEVEL", Value: "info"}}
	p := b.plan(s, nil)
	instance := b.ensure(p)
	d := b.describe(instance, p.Key())
	if !slices.Contains(d.Environment, "TOKEN="+serverValue) || !slices.Contains(d.Environment, "LEVEL=info") {
		b.Errorf("the server lacks its variables: %v", d.Environment)
	}
	for _, v := range d.Environment {
		if strings.HasPrefix(v, "SHIM_") {
			b.Errorf("the server has the shim's %s", v)
		}
	}
	if text := strings.Join(slices.Concat(d.Environment, d.Arguments), " "); strings.Contains(text, shimValue) {
		b.Error("the server has the shim's secret")
	}
	if strings.Contains(strings.Join(d.Arguments, " "), serverValue) {
		b.Error("a secret stands among arguments")
	}
	if strings.Contains(b.Log(), "sesame") {
		b.Error("a secret stands in the log")
	}
	environ := b.Environ(instance, "shim")
	if environ == nil {
		b.Skip("the shim's environment cannot be seen here")
	}
	if text := strings.Join(environ, " "); strings.Contains(text, "sesame") || !strings.Contains(text, "SHIM_SERVER=a") {
		b.Errorf("the shim's environment is %v", environ)
	}
}

func rulesChange(b *bench) {
	p := b.plan(b.entry("a"), nil)
	instance := b.ensure(p)
	run := b.describe(instance, p.Key()).Run
	status := func(want int) func() bool {
		return func() bool {
			got, err := b.call(instance, p.Key(), ToolDescribe, nil, nil)
			return err == nil && got == want
		}
	}
	b.setRules("a", b.Forbid("a", 2))
	b.eventually("the stricter rules are in force", status(403))
	b.setRules("a", b.Allow("a", 3))
	b.eventually("the rules after them are", status(200))
	if d := b.describe(instance, p.Key()); d.Run != run {
		b.Error("the server was started again")
	}
	if again := b.ensure(p); again.ID != instance.ID || again.Cold {
		b.Errorf("%+v after %+v", again, instance)
	}
}

func instanceForEachUser(b *bench) {
	s := b.entry("a")
	s.Instances = catalog.Instances{PerUser: true, Max: 2}
	alice, bob, carol := b.plan(s, user("alice")), b.plan(s, user("bob")), b.plan(s, user("carol"))
	first, second := b.ensure(alice), b.ensure(bob)
	if first.ID == second.ID || b.describe(first, alice.Key()).Run == b.describe(second, bob.Key()).Run {
		b.Errorf("two users share %+v and %+v", first, second)
	}
	if found, ok := b.found(alice.Key()); !ok || found.ID != first.ID {
		b.Errorf("alice has %+v, want %s", found, first.ID)
	}
	if got := b.refused(carol); got.Code != deploy.CodeLimit || got.RetryAfter <= 0 {
		b.Errorf("the third got %+v", got)
	}
	b.ensure(b.plan(b.entry("b"), nil)) // another server's limit is its own
	if err := b.Deployer.Remove(b.ctx, bob.Key()); err != nil {
		b.Fatal(err)
	}
	b.retry(carol, "there is room") // there was none a moment ago
	if found, ok := b.found(alice.Key()); !ok || found.ID != first.ID {
		b.Errorf("alice has %+v, want %s", found, first.ID)
	}
	change := s
	change.Env = []catalog.EnvVar{{Name: "REVISION", Value: "2"}}
	if again := b.ensure(b.plan(change, user("alice"))); again.ID == first.ID || !again.Cold && !b.Lasting {
		b.Errorf("a full house kept alice's new revision out: %+v", again)
	}
}

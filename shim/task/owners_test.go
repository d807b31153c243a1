package task

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mcpgateway/internal/identity"
)

func someone(subject string) identity.Identity {
	return identity.Identity{Issuer: "https://corp.test", Subject: subject}
}

func owners(t *testing.T) *Owners {
	t.Helper()
	o, err := NewOwners(Config{Max: 6, PerUser: 4, Keep: time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func check(t *testing.T, o *Owners, id, subject string, want bool) {
	t.Helper()
	if _, got := o.Owner(id, someone(subject)); got != want {
		t.Errorf("%s owns %s: %v", subject, id, got)
	}
}

func TestOwners(t *testing.T) {
	o := owners(t)
	o.Start("t", someone("ann"), "build")
	if tool, ok := o.Owner("t", someone("ann")); !ok || tool != "build" {
		t.Errorf("got %q, %v", tool, ok)
	}
	check(t, o, "t", "bob", false)
	check(t, o, "T", "ann", false)
	if _, ok := o.Owner("t", identity.Identity{Issuer: "https://else.test", Subject: "ann"}); ok {
		t.Error("one of the same name at another issuer owns it")
	}
	if !o.Others("t", someone("bob")) || o.Others("t", someone("ann")) || o.Others("unknown", someone("bob")) {
		t.Error("Others is wrong")
	}
	o.Start("t", someone("bob"), "build") // a server that hands an id out twice
	check(t, o, "t", "bob", false)
	check(t, o, "t", "ann", true)
	for _, id := range []string{"", string(make([]byte, maxID+1))} {
		o.Start(id, someone("ann"), "build")
		check(t, o, id, "ann", false)
	}
}

func TestOwnersAreBounded(t *testing.T) {
	o := owners(t)
	o.Start("bob-0", someone("bob"), "")
	for i := range 10 { // more than one person may have: the own oldest goes, and nobody else's
		o.Start(fmt.Sprint("ann-", i), someone("ann"), "")
		check(t, o, "ann-0", "ann", true) // used each time, so never the oldest
	}
	check(t, o, "bob-0", "bob", true)
	check(t, o, "ann-5", "ann", false)
	for i := range 5 { // more than all may have
		o.Start(fmt.Sprint("eve-", i), someone(fmt.Sprint("eve", i)), "")
	}
	if len(o.byID) != 6 || o.used.Len() != 6 {
		t.Errorf("%d tasks", len(o.byID))
	}
	check(t, o, "eve-4", "eve4", true)
	sum := 0
	for _, n := range o.count {
		sum += n
	}
	if sum != 6 {
		t.Errorf("%d tasks are counted", sum)
	}
}

func TestOwnersForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := owners(t)
		o.Start("used", someone("ann"), "")
		o.Start("left", someone("ann"), "")
		time.Sleep(50 * time.Minute)
		check(t, o, "used", "ann", true)
		time.Sleep(11 * time.Minute)
		check(t, o, "used", "ann", true)
		check(t, o, "left", "ann", false)
		time.Sleep(61 * time.Minute)
		check(t, o, "used", "ann", false)
		if len(o.byID)+o.used.Len()+len(o.count) != 0 {
			t.Error("something is left")
		}
	})
}

func TestNewOwnersRefuses(t *testing.T) {
	good := Config{Max: 1, PerUser: 1, Keep: 1, Now: time.Now}
	for i, c := range []Config{{PerUser: 1, Keep: 1, Now: time.Now}, {Max: 1, Keep: 1, Now: time.Now}, {Max: 1, PerUser: 1, Now: time.Now}, {Max: 1, PerUser: 1, Keep: 1}} {
		if _, err := NewOwners(c); err == nil {
			t.Errorf("%d: %+v is taken", i, c)
		}
	}
	if _, err := NewOwners(good); err != nil {
		t.Error(err)
	}
}

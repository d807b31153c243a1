package process

import (
	"context"
	"errors"
	"slices"
	"time"

	"mcpgateway/internal/deploy"
)

// tryAgain is when to ask again for what takes longer than a start may: installing mostly takes seconds.
const tryAgain = 3 * time.Second

// install has the packages of a plan installed. It waits as long as a start may take, and lets the install go on then.
// Where it had to wait, late says when a caller has waited for as long, and some more, for install and start together.
func (d *Deployer) install(ctx context.Context, p deploy.Plan) (late time.Time, err error) {
	wait, cancel := context.WithTimeout(ctx, p.Startup)
	defer cancel()
	for _, need := range packagesOf(p) {
		if _, ok := d.packages.Installed(need); ok {
			continue
		}
		if late.IsZero() {
			late = time.Now().Add(p.Startup + lateGrace)
		}
		_, err := d.packages.Program(wait, p.Server, need)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return late, ctx.Err()
		}
		if failed, ok := errors.AsType[*deploy.StartError](err); ok {
			return late, failed // which the store has logged
		}
		return late, &deploy.StartError{Code: deploy.CodeUnavailable, RetryAfter: tryAgain, Cause: err,
			Message: "The package " + need.Name + " is still being installed, try again."}
	}
	return late, nil
}

// lateGrace is how much longer than a start may take a caller waits who had to wait for an install too. The gateway
// gives the deployer five seconds more than a start may take.
const lateGrace = 2 * time.Second

func packagesOf(p deploy.Plan) []deploy.Package {
	var list []deploy.Package
	for _, u := range p.Units {
		if u.Package != nil {
			list = append(list, *u.Package)
		}
	}
	return list
}

// programs returns the paths of what the packages of a plan run, which install has installed.
func (d *Deployer) programs(p deploy.Plan) (map[deploy.Package]string, error) {
	programs := map[deploy.Package]string{}
	for _, need := range packagesOf(p) {
		program, ok := d.packages.Installed(need)
		if !ok {
			return nil, deploy.Refuse(d.config.Logger, p.Key(), deploy.StartError{RetryAfter: time.Second,
				Cause: errors.New("the package " + need.Name + " was removed meanwhile")})
		}
		programs[need] = program
	}
	return programs, nil
}

// Prepare has what servers need installed in the background, before anybody calls, and removes packages that were not
// used for a day and that neither the servers nor instances that run need. It does not wait.
func (d *Deployer) Prepare(_ context.Context, needs []deploy.Need) error {
	needs = slices.DeleteFunc(slices.Clone(needs), func(n deploy.Need) bool { return n.Image != "" }) // which nothing here runs
	d.packages.Prepare(needs)
	list, err := d.living(nil)
	if err != nil {
		return err
	}
	var keep []deploy.Package
	for _, need := range needs {
		keep = append(keep, need.Package)
	}
	for _, g := range list {
		keep = append(keep, g.Packages...)
	}
	return d.packages.Prune(keep)
}

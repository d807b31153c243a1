package main

import (
	"errors"
	"os"
	"path/filepath"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/servertoken"
)

// handToken puts the token by which the session store knows the shim of a plan where the shim is given its secrets from, on this
// machine. In a cluster it is in the Secret that the deployer makes.
func handToken(p *catalog.Platform, plan deploy.Plan) error {
	if p.Deployer.Knative != nil || !plan.WantsSessions() {
		return nil
	}
	key, err := sessionsKey(p)
	if err != nil {
		return err
	}
	token := key.Of(plan.Server)
	path := filepath.Join(p.Deployer.Secrets, plan.Server+"-shim", deploy.KeySessions)
	if known, err := os.ReadFile(path); err == nil && string(known) == token {
		return nil
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), atomicfile.Replace(path, []byte(token)))
}

// sessionsKey makes the tokens by which the session store knows shims. Where the store is this machine's own, whoever comes first
// makes the key.
func sessionsKey(p *catalog.Platform) (servertoken.Key, error) {
	return servertoken.Read(servertoken.Sessions, p.Sessions.Key, p.Deployer.Knative == nil && p.Sessions.Table == "")
}

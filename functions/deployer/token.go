package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mcpgateway/internal/atomicfile"
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/deploy"
	"mcpgateway/internal/servertoken"
)

// handTokens puts the tokens by which functions of ours know the shim of a plan where the shim is given its secrets from, on this
// machine. In a cluster they are in a Secret that the deployer makes.
func handTokens(p *catalog.Platform, plan deploy.Plan) error {
	if p.Deployer.Knative != nil {
		return nil
	}
	for _, u := range plan.Units {
		for _, s := range u.Secrets {
			if s.Token == "" {
				continue
			}
			key, err := tokenKey(p, s.Token)
			if err == nil {
				err = handToken(filepath.Join(p.Deployer.Secrets, plan.Server+"-shim", s.Key), key.Of(plan.Server))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func handToken(path, token string) error {
	if known, err := os.ReadFile(path); err == nil && string(known) == token {
		return nil
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), atomicfile.Replace(path, []byte(token)))
}

// tokenKey makes servers' tokens for a function. Where what the function keeps is this machine's own, whoever comes first makes the key.
func tokenKey(p *catalog.Platform, function string) (servertoken.Key, error) {
	own := p.Deployer.Knative == nil
	switch {
	case function == servertoken.Audit && p.Audit != nil && p.Audit.Store != nil:
		return servertoken.Read(function, p.Audit.Store.Key, own && p.Audit.Store.Table == "")
	case function == servertoken.Sessions && p.Sessions != nil:
		return servertoken.Read(function, p.Sessions.Key, own && p.Sessions.Table == "")
	}
	return servertoken.Key{}, fmt.Errorf("the platform file says nothing of %s", function)
}

// tokenKeys are those of all functions that know shims.
func tokenKeys(p *catalog.Platform) (map[string]servertoken.Key, error) {
	keys := map[string]servertoken.Key{}
	var wanted []string
	if p.Audit != nil && p.Audit.Store != nil && p.Audit.Secret == nil {
		wanted = append(wanted, servertoken.Audit)
	}
	if p.Sessions != nil {
		wanted = append(wanted, servertoken.Sessions)
	}
	for _, function := range wanted {
		var err error
		if keys[function], err = tokenKey(p, function); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

package deploy

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"mcpgateway/internal/audit"
	"mcpgateway/internal/catalog"
)

// makeAudit says what of an entry's exchanges is kept; nil where that is what every shim keeps.
func makeAudit(a catalog.Audit) *audit.Settings {
	s := audit.Settings{Required: a.Required, Redact: a.Redact}
	switch kind := audit.Bodies(a.Bodies); kind {
	case audit.BodiesNone:
		s.Bodies = kind
	case audit.BodiesFull:
		s.Bodies, s.MaxBody = kind, a.MaxBody
	}
	if s.Bodies == "" && !s.Required {
		return nil
	}
	return &s
}

// addAudit tells the shim where records go.
func addAudit(shim *Unit, s catalog.Server, a *catalog.AuditSink) {
	if a == nil {
		return
	}
	at := a.URL
	if path := a.Socket(); path != "" {
		at = catalog.SocketScheme + "{mount:" + mountAudit + "}"
		shim.Mounts = append(shim.Mounts, Mount{Name: mountAudit, From: filepath.Dir(path), File: filepath.Base(path)})
	}
	shim.Env = append(shim.Env, EnvVar{"SHIM_AUDIT_URL", at}, EnvVar{"SHIM_AUDIT_SPOOL", stateFolder},
		EnvVar{"SHIM_AUDIT_SPOOL_BYTES", strconv.Itoa(a.SpoolMiB << 20)}, EnvVar{"SHIM_AUDIT_SECOND", a.Second}, EnvVar{"SHIM_AUDIT_INTERVAL", time.Duration(a.Interval).String()})
	switch {
	case a.Secret != nil:
		shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: a.Secret.Key, File: credentialFile})
	case a.Store != nil:
		shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: keyAudit, File: credentialFile, Token: tokenAudit})
	}
}

// credentialFile is the variable with the file of what the shim shows to the sink.
const credentialFile = "SHIM_AUDIT_SECRET_FILE"

// addLists has the shim leave what its server says of itself where its records are kept, and tells it what the server is. It
// shares a key with the gateway, which reads that.
func addLists(shim *Unit, s catalog.Server) {
	if s.CachesDiscovery() {
		shim.Env = append(shim.Env, EnvVar{"SHIM_REVISION", s.Revision()})
		shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: KeyGateway, File: "SHIM_GATEWAY_KEY_FILE", Shared: true})
	}
}

func checkAuditSink(s catalog.Server, a *catalog.AuditSink) error {
	switch {
	case a == nil && s.Audit.Required:
		return errors.New("audit.required needs an audit sink")
	case a == nil && s.CachesDiscovery():
		return errors.New("discovery: cached needs an audit sink")
	case a == nil:
		return nil
	}
	if err := errors.Join(checkText(a.URL), checkShimKey(a.Secret)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

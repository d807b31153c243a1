package deploy

import (
	"errors"
	"fmt"
	"strconv"

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
	shim.Env = append(shim.Env, EnvVar{"SHIM_AUDIT_URL", a.URL}, EnvVar{"SHIM_AUDIT_SPOOL", stateFolder},
		EnvVar{"SHIM_AUDIT_SPOOL_BYTES", strconv.Itoa(a.SpoolMiB << 20)}, EnvVar{"SHIM_AUDIT_SECOND", a.Second})
	if a.Secret != nil {
		shim.Secrets = append(shim.Secrets, Secret{Store: shimStore(s), Key: a.Secret.Key, File: "SHIM_AUDIT_SECRET_FILE"})
	}
}

func checkAuditSink(s catalog.Server, a *catalog.AuditSink) error {
	switch {
	case a == nil && s.Audit.Required:
		return errors.New("audit.required needs an audit sink")
	case a == nil:
		return nil
	}
	if err := errors.Join(checkText(a.URL), checkShimKey(a.Secret)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

package deploy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mcpgateway/internal/catalog"
	"mcpgateway/internal/egress"
)

const filterPrefix = "filter-"

var filterLimits = Resources{CPU: "500m", Memory: "64Mi"}

// makeConverters makes a unit for each webhook filter of s. Other kinds of filters run elsewhere and need none.
func makeConverters(s catalog.Server, filters []catalog.Filter) ([]Unit, error) {
	var units []Unit
	for _, name := range s.Filters {
		f, ok := find(filters, name)
		if !ok {
			return nil, fmt.Errorf("filter %s is not in the catalog", name)
		}
		if f.Webhook == nil {
			continue
		}
		unit, err := makeConverter(s, f)
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", name, err)
		}
		units = append(units, unit)
	}
	return units, nil
}

// makeConverter makes the unit that turns a webhook into a filter. It alone holds the webhook's secret.
func makeConverter(s catalog.Server, f catalog.Filter) (Unit, error) {
	rules, egressErr := f.Webhook.EgressRules()
	if err := errors.Join(checkText(f.Webhook.URL), checkHandedKey(f.Webhook.Secret), egressErr); err != nil {
		return Unit{}, err
	}
	name := filterPrefix + f.Name
	u := Unit{
		Name: name, Role: RoleFilter, Image: ImageShim, Command: []string{shimProgram, "webhook"},
		Env: []EnvVar{
			{"SHIM_LISTEN", "unix:{socket:" + name + "}"},
			{"SHIM_WEBHOOK_URL", f.Webhook.URL},
			{"SHIM_WEBHOOK_EGRESS", egress.Format(rules)},
			{"SHIM_WEBHOOK_TIMEOUT", time.Duration(f.Timeout).String()},
			{collectFrom, "56MiB"},
		},
		Sockets: []string{name},
		Limits:  filterLimits,
	}
	if f.Webhook.Secret != nil {
		u.Secrets = []Secret{{Store: shimStore(s), Key: f.Webhook.Secret.Key, File: "SHIM_WEBHOOK_SECRET_FILE"}}
	}
	return u, nil
}

func find(filters []catalog.Filter, name string) (catalog.Filter, bool) {
	i := slices.IndexFunc(filters, func(f catalog.Filter) bool { return f.Name == name })
	if i < 0 {
		return catalog.Filter{}, false
	}
	return filters[i], true
}

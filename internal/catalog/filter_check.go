package catalog

import (
	"time"

	"mcpgateway/internal/selector"
)

// selectorForm is what editors check of a selector; package selector checks the rest.
var selectorForm = newPattern(`^[A-Za-z0-9_/$.*-]{1,128}([?&](name=[^&?]+|direction=(request|response)))*$`)

func checkFilter(d *document, f *Filter, all *names) {
	d.label(&f.Name, f, "filters.name")
	d.one(f, f, "filters: exactly one of %s is needed", alternative{"webhook", f.Webhook != nil}, alternative{"mcp", f.MCP != nil}, alternative{"server", f.Server != ""})
	if w := f.Webhook; w != nil {
		checkEgress(d, w.Egress, "filters.webhook.egress", all.platform)
		if d.required(&w.URL, w, "filters.webhook.url") {
			destination{&w.URL, "filters.webhook.url", &w.Egress, "filters.webhook.egress", "the webhook"}.check(d)
		}
		checkSecret(d, w.Secret, "filters.webhook.secret")
	}
	if m := f.MCP; m != nil {
		checkEgress(d, m.Egress, "filters.mcp.egress", all.platform)
		if d.required(&m.URL, m, "filters.mcp.url") {
			destination{&m.URL, "filters.mcp.url", &m.Egress, "filters.mcp.egress", "the filter"}.check(d)
		}
		d.required(&m.Tool, m, "filters.mcp.tool")
		d.text(&m.Tool, "filters.mcp.tool", 256)
	}
	checkFilterServer(d, f, all)
	needed(d, &f.On, f, `filters.on is missing: write ["tools/call"], for one`)
	for i := range f.On {
		d.matches(&f.On[i], selectorForm)
		if _, err := selector.Parse(f.On[i]); err != nil {
			d.bad(&f.On[i], "filters.on: %.60q is no selector such as tools/call?name=create_*&direction=request: %v", f.On[i], err)
		}
	}
	number(d, &f.Timeout, "filters.timeout", Duration(10*time.Millisecond), Duration(2*time.Second), Duration(time.Minute))
	d.choice(&f.OnError, "filters.onError", "reject", "accept")
}

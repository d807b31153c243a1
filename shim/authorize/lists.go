package authorize

import (
	"net/http"

	"mcpgateway/internal/mcp"
	"mcpgateway/internal/policy"
	"mcpgateway/shim/call"
)

// Filter takes out of the lists in a message of the server what the caller may not use: see mcp.FilterLists.
func (c Checker) Filter(x *call.Exchange, data []byte) ([]byte, error) {
	var view *policy.View // for this one list: conditions on the time may come out otherwise in the next
	out, err := mcp.FilterLists(data, func(list, name string) bool {
		if list == "tasks" {
			_, own := c.Tasks.Owner(name, x.Who)
			return own
		}
		if view == nil {
			view = x.Rules.Policies.View(x.Who, x.Rules.Rules.Server, x.Era.String())
		}
		return view.Visible(policy.KindIn(list), name)
	})
	if view != nil {
		c.report(x, view.Fault)
	}
	return out, err
}

// Filtered tells whether the answer may hold lists, or content whose cacheScope must be the caller's own. A GET stream
// may deliver the rest of any answer.
func Filtered(x *call.Exchange) bool {
	if x.Request.Method == http.MethodGet {
		return true
	}
	for i := range x.MCP.Messages {
		switch x.MCP.Messages[i].Method {
		case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read", "tasks/list":
			return true
		}
	}
	return false
}
